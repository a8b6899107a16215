// The body of every Ory Kratos web hook that ssfd takes: config/sources/kratos.toml maps it, and
// docs/sources/kratos.md explains it. The hook's name is not in the context, so it comes in the URL.
// No cookie, header, form or secret gets into the body. Members without a value are left out.
local zeroUuid = '00000000-0000-0000-0000-000000000000';

// Returns a member, or `default` if the member or the object itself is missing or null.
local member(object, name, default=null) =
  local value = if object == null then null else std.get(object, name);
  if value == null then default else value;

// Seconds since 1970 of a time such as 2026-11-29T13:45:02.5Z.
local seconds(time) =
  local digits(at, count) = std.parseInt(std.substr(time, at, count));
  // A year that begins in March has its leap day at its end.
  local month = (digits(5, 2) + 9) % 12;
  local year = digits(0, 4) - (if month >= 10 then 1 else 0);
  local leapDays = std.floor(year / 4) - std.floor(year / 100) + std.floor(year / 400);
  local dayOfYear = std.floor((153 * month + 2) / 5) + digits(8, 2) - 1;
  local days = 365 * year + leapDays + dayOfYear - 719468;
  86400 * days + 3600 * digits(11, 2) + 60 * digits(14, 2) + digits(17, 2);

function(ctx)
  local flow = ctx.flow;
  local identity = ctx.identity;
  local session = member(ctx, 'session');
  local addressOf(identity) = member(member(identity, 'traits', {}), 'email');

  // In settings.profile the session still has the identity as it was before the change.
  local address = addressOf(identity);
  local earlier = addressOf(member(session, 'identity', identity));

  // The new form shows which credentials exist after the write.
  local nodes = member(member(flow, 'ui', {}), 'nodes', []);
  local named(name) = std.filter(function(node) member(node.attributes, 'name') == name, nodes);
  local exists(name) = std.length(named(name)) > 0;
  local keys(name) =
    local addedAt(node) = member(member(member(node.meta, 'label', {}), 'context', {}), 'added_at_unix', 0);
    // This change added a key if the key is at most 2 s away from the change.
    local isNew(node) = std.abs(seconds(identity.updated_at) - addedAt(node)) <= 2;
    { count: std.length(named(name)), new: std.length(std.filter(isNew, named(name))) > 0 };

  local addresses = member(identity, 'verifiable_addresses', []);
  local verified = std.sort([a.verified_at for a in addresses if member(a, 'verified_at') != null]);

  std.prune({
    v: 1,
    flow: {
      id: flow.id,
      type: member(flow, 'type'),
      method: member(flow, 'active'),
      requested_aal: member(flow, 'requested_aal'),
      refresh: member(flow, 'refresh'),
    },
    identity: {
      id: identity.id,
      external_id: member(identity, 'external_id'),
      email: address,
      state: member(identity, 'state'),
      updated_at: identity.updated_at,
      verified_at: if std.length(verified) > 0 then verified[std.length(verified) - 1],
    },
    before: if earlier != address then { email: earlier },
    session: if session != null then {
      // A login with a first factor has not stored its session yet.
      id: if session.id != zeroUuid then session.id,
      aal: member(session, 'authenticator_assurance_level'),
      methods: [used.method for used in member(session, 'authentication_methods', [])],
      authenticated_at: session.authenticated_at,
    },
    // Only a settings flow after its write has the state `success`.
    after: if member(flow, 'state') == 'success' then {
      totp: exists('totp_unlink'),
      lookup_secret: exists('lookup_secret_disable'),
      webauthn: keys('webauthn_remove'),
      passkey: keys('passkey_remove'),
    },
  })
