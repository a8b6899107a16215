"""The acts of people and of administrators, as browsers, applications and the console do them."""

import base64
import hashlib
import hmac
import html.parser
import json
import re
import struct
import time
import uuid
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx
import security_key
from processes import wait_for

# The address of the applications. Nobody listens there, because the browser of these tests stops as soon as
# it is sent there.
CALLBACK = "https://portal.corp.example/callback"


class _Forms(html.parser.HTMLParser):
    """Collects the forms of a page, each with its action and the values of its fields."""

    def __init__(self):
        super().__init__()
        self.forms = []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "form":
            self.forms.append((attributes.get("action", ""), {}))
        elif tag == "input" and self.forms and attributes.get("name"):
            kind = attributes.get("type", "text")
            if kind not in ("submit", "checkbox", "radio"):
                self.forms[-1][1][attributes["name"]] = attributes.get("value") or ""


class Browser:
    """A browser: cookies, redirects and forms."""

    def __init__(self, keycloak):
        self.http = httpx.Client(verify=keycloak.context, timeout=60)
        self._oidc = f"{keycloak.issuer}/protocol/openid-connect"
        self.page = None

    def open(self, path, **parameters):
        """Opens an address of OpenID Connect. Returns the parameters of the way back to the application, or
        `None` if a page is shown."""
        return self._follow(self.http.get(f"{self._oidc}/{path}", params=parameters))

    def submit(self, **fields):
        """Submits the form of the page that is shown."""
        forms = _Forms()
        forms.feed(self.page.text)
        assert forms.forms, f"no form at {self.page.url}: {self.page.text}"
        action, values = forms.forms[0]
        action = urljoin(str(self.page.url), action)
        return self._follow(self.http.post(action, data=values | fields))

    def _follow(self, answer):
        while answer.is_redirect:
            target = urljoin(str(answer.url), answer.headers["location"])
            if target.startswith(CALLBACK):
                return dict(parse_qsl(urlsplit(target).query))
            answer = self.http.get(target)
        assert answer.is_success, f"{answer.url}: {answer.status_code} {answer.text}"
        self.page = answer
        return None

    def authorize(self, client, **parameters):
        """Asks for a code as an application does."""
        return self.open(
            "auth",
            client_id=client,
            redirect_uri=CALLBACK,
            response_type="code",
            scope="openid",
            **parameters,
        )

    def tokens(self, client, **form):
        """Asks for tokens as an application does."""
        answer = self.http.post(f"{self._oidc}/token", data={"client_id": client} | form)
        return answer.raise_for_status().json()

    def post(self, path, **form):
        answer = self.http.post(f"{self._oidc}/{path}", data=form)
        assert answer.is_success, f"{path}: {answer.status_code} {answer.text}"


def claims(token):
    """Reads the claims of a token without verifying it, because it came from its issuer."""
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def totp(secret):
    """Returns the code of this moment (RFC 6238)."""
    counter = struct.pack(">Q", int(time.time()) // 30)
    digest = hmac.digest(secret, counter, hashlib.sha1)
    offset = digest[-1] & 15
    code = struct.unpack(">I", digest[offset : offset + 4])[0] & 0x7FFFFFFF
    return f"{code % 1000000:06}"


@dataclass
class Person:
    """A person with an account. Each test has people of its own, so that it sees no SETs of another."""

    keycloak: object
    id: str = ""
    name: str = field(default_factory=lambda: f"ana-{uuid.uuid4().hex[:8]}")
    password: str = "the first password"
    sessions: list = field(default_factory=list)

    @property
    def email(self):
        return f"{self.name}@corp.example"

    def sign_up(self):
        account = {
            "username": self.name,
            "email": self.email,
            "emailVerified": True,
            "firstName": "Ana",
            "lastName": "Berg",
            "enabled": True,
            "credentials": [{"type": "password", "value": self.password}],
        }
        made = self.keycloak.realm("POST", "/users", account)
        self.id = made.headers["location"].rsplit("/", 1)[1]
        return self

    def sign_in(self, clients=("portal", "wiki"), **fields):
        """Signs in with the first application by the form, and with the others without it."""
        browser = Browser(self.keycloak)
        assert browser.authorize(clients[0]) is None
        back = browser.submit(username=self.name, password=self.password, **fields)
        session = Session(self, browser, clients[0])
        session.redeem(back)
        for client in clients[1:]:
            session.redeem(browser.authorize(client), client)
        self.sessions.append(session)
        return session

    def administer(self, method, path, body=None):
        """Lets the administrator change the account."""
        return self.keycloak.realm(method, f"/users/{self.id}{path}", body)

    def wait_until_disabled(self):
        """Waits until Keycloak has locked the account, which it does after its answer."""
        account = lambda: self.keycloak.realm("GET", f"/users/{self.id}").json()
        wait_for("the account is locked", lambda: not account()["enabled"])

    def credentials(self):
        return self.keycloak.realm("GET", f"/users/{self.id}/credentials").json()


class Session:
    """A person's session in one browser."""

    def __init__(self, person, browser, client):
        self.person, self.browser, self.client = person, browser, client
        self.id, self.tokens = None, {}

    def redeem(self, back, client=None):
        client = client or self.client
        form = {"grant_type": "authorization_code", "redirect_uri": CALLBACK, "code": back["code"]}
        self.tokens[client] = self.browser.tokens(client, **form)
        self.id = claims(self.tokens[client]["id_token"])["sid"]

    def sign_out(self):
        """Signs out by the application's link."""
        hint = self.tokens[self.client]["id_token"]
        self.browser.open("logout", id_token_hint=hint, post_logout_redirect_uri=CALLBACK)

    def sign_out_by_page(self):
        """Signs out by the page that asks for confirmation."""
        self.browser.open("logout")
        self.browser.submit(confirmLogout="Logout")

    def sign_out_by_application(self):
        """Signs out as an application without a browser does."""
        token = self.tokens[self.client]["refresh_token"]
        self.browser.post("logout", client_id=self.client, refresh_token=token)

    def end(self, other):
        """Ends another session of the person in the account console."""
        token = self.tokens[self.client]["access_token"]
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        url = f"{self.person.keycloak.issuer}/account/sessions/{other.id}"
        answer = self.browser.http.delete(url, headers=headers)
        assert answer.is_success, f"{answer.status_code} {answer.text}"

    def act(self, action):
        """Begins an action that the application asks for. Some need the password again."""
        assert self.browser.authorize(self.client, kc_action=action) is None
        if 'id="kc-form-login"' in self.browser.page.text:
            assert self.browser.submit(password=self.person.password) is None

    def done(self, back):
        assert back and back.get("kc_action_status") == "success", back or self.browser.page.text
        self.redeem(back)

    def change_password(self, sign_out_others=False):
        self.act("UPDATE_PASSWORD")
        new = self.person.password = f"password {uuid.uuid4()}"
        others = {"logout-sessions": "on"} if sign_out_others else {}
        self.done(self.browser.submit(**{"password-new": new, "password-confirm": new}, **others))

    def add_totp(self, label):
        self.act("CONFIGURE_TOTP")
        secret = re.search(r'name="totpSecret" value="([^"]+)"', self.browser.page.text)[1]
        self.done(self.browser.submit(totp=totp(secret.encode()), userLabel=label))
        return secret

    def remove_totp(self):
        (one,) = [one for one in self.person.credentials() if one["type"] == "otp"]
        self.act(f"delete_credential:{one['id']}")
        self.done(self.browser.submit())

    def add_security_key(self, label):
        self.act("webauthn-register")
        challenge = re.search(r'challenge : "([^"]+)"', self.browser.page.text)[1]
        origin = self.person.keycloak.url
        fields = security_key.registration(origin, urlsplit(origin).hostname, challenge, label)
        self.done(self.browser.submit(**fields))

    def add_recovery_codes(self):
        self.act("CONFIGURE_RECOVERY_AUTHN_CODES")
        self.done(self.browser.submit())

    def delete_account(self):
        """Deletes the person's own account, which the realm must allow."""
        self.act("delete_account")
        self.browser.submit()
        assert 'id="kc-form-login"' not in self.browser.page.text

    def change_email(self, address):
        """Changes the address as a part of the profile."""
        self.act("UPDATE_PROFILE")
        names = {"username": self.person.name, "firstName": "Ana", "lastName": "Berg"}
        self.done(self.browser.submit(email=address, **names))

    def update_email(self, address):
        """Changes the address by the action of its own, which the realm must have switched on."""
        self.act("UPDATE_EMAIL")
        self.done(self.browser.submit(email=address))


def client_token(keycloak, client, secret, **form):
    """Returns an access token that a client gets for itself."""
    url = f"{keycloak.issuer}/protocol/openid-connect/token"
    form = {"grant_type": "client_credentials"} | form
    answer = keycloak.http.post(url, auth=(client, secret), data=form)
    return answer.raise_for_status().json()["access_token"]
