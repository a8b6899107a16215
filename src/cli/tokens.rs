//! `ssfd tokens`: makes, lists and revokes bearer tokens.

use std::time::Duration;

use clap::{Args, Subcommand, builder::NonEmptyStringValueParser};
use serde_json::{Value, json};

use crate::{
    app, auth,
    cli::{self, CliError, audience::AudienceArgs, moment, output, table::Table},
    clock,
    config::Config,
    domain::{
        grant::{Grant, Holder, NamedHolder, Scope},
        id::{CredentialName, ProviderName, ReceiverId},
        secret::Secret,
        time::Timestamp,
    },
    store::{Records, StoreError, TokenStore as _, records::last_use::LastUseStore as _},
};

const EXAMPLES: &str = "Examples:
  ssfd tokens create receiver --receiver acme --audience https://rx.example
  ssfd tokens create receiver --receiver acme --audience https://rx.example --scope ssf.read
  ssfd tokens create publisher --provider default --expires-in-days 90
  ssfd tokens create operator --name on-call
  ssfd tokens list --json
  ssfd tokens revoke 3f9a1c";

/// Make, list and revoke the bearer tokens of Receivers, publishers and operators.
///
/// The store that the configuration names keeps them as hashes. A running daemon accepts or refuses a
/// token as soon as it is made or revoked.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct TokensCommand {
    #[command(subcommand)]
    command: TokensAction,
}

#[derive(Debug, Subcommand)]
enum TokensAction {
    /// Make a token; it is shown once and never again
    #[command(after_help = examples!(
        "ssfd tokens create receiver --receiver acme --audience https://rx.example",
        "ssfd tokens create publisher",
        "ssfd tokens create operator --name on-call",
    ))]
    Create {
        #[command(subcommand)]
        holder: Create,
    },
    /// List tokens with the first digits of their hash, their name, holder and last use
    #[command(after_help = examples!("ssfd tokens list", "ssfd tokens list --json"))]
    List,
    /// Revoke the token whose hash starts with these digits
    #[command(after_help = examples!("ssfd tokens revoke 3f9a1c"))]
    Revoke {
        /// The first digits of its hash, from `list`
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
    },
}

#[derive(Debug, Subcommand)]
enum Create {
    /// A token for a Receiver, to manage and poll its streams
    #[command(after_help = examples!(
        "ssfd tokens create receiver --receiver acme --audience https://rx.example",
        "ssfd tokens create receiver --receiver acme --audience https://rx.example --scope ssf.read",
    ))]
    Receiver {
        /// The provider; may be left out if only one is configured
        #[arg(long, value_name = "NAME")]
        provider: Option<ProviderName>,
        /// The owner of the streams that are made with this token
        #[arg(long)]
        receiver: ReceiverId,
        #[command(flatten)]
        audience: AudienceArgs,
        /// `ssf.read` or `ssf.manage`, which covers it; may be given several times
        #[arg(long, default_value = "ssf.manage")]
        scope: Vec<Scope>,
        #[command(flatten)]
        common: Common,
    },
    /// A token for an operator, to manage the streams of all Receivers
    #[command(after_help = examples!("ssfd tokens create operator --name on-call"))]
    Operator {
        #[command(flatten)]
        common: Common,
    },
    /// A token for a publisher, to send events over HTTP
    #[command(after_help = examples!(
        "ssfd tokens create publisher --provider default --expires-in-days 90",
    ))]
    Publisher {
        /// The provider; may be left out if only one is configured
        #[arg(long, value_name = "NAME")]
        provider: Option<ProviderName>,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Args)]
struct Common {
    /// A name for people, shown in lists: at most 64 characters out of A-Z a-z 0-9 - . _ ~
    ///
    /// Several tokens may have the same name, for example while a new one replaces an old one. Only
    /// the hash identifies a token.
    #[arg(long)]
    name: Option<CredentialName>,
    /// Days until the token expires [default: never]
    #[arg(long, value_name = "DAYS")]
    expires_in_days: Option<u32>,
}

impl TokensCommand {
    pub async fn run(self, config: &Config, json: bool) -> Result<(), CliError> {
        let store = app::open_existing_store(&config.store).await;
        let store = store.map_err(|error| CliError::of(&error))?;
        let place = app::store_place(&config.store);
        let text = match self.command {
            TokensAction::Create { holder } => create(&*store, holder, config, json).await?,
            TokensAction::List => list(&*store, json).await?,
            TokensAction::Revoke { id } => revoke(&*store, &id, &place, json).await?,
        };
        output::print(text)?;
        Ok(())
    }
}

async fn create(
    store: &dyn Records,
    create: Create,
    config: &Config,
    json: bool,
) -> Result<String, CliError> {
    let provider_of = |named: Option<ProviderName>| {
        cli::provider(config, named.as_ref()).map(|provider| provider.name)
    };
    let (role, common) = match create {
        Create::Receiver { provider, receiver, audience, scope, common } => {
            let provider = provider_of(provider)?;
            let audience = audience.read()?;
            (Holder::Receiver { provider, receiver, audience, scopes: scope }, common)
        }
        Create::Publisher { provider, common } => {
            (Holder::Publisher { provider: provider_of(provider)? }, common)
        }
        Create::Operator { common } => (Holder::Operator, common),
    };
    let days = common.expires_in_days.map(u64::from);
    let lifetime = days.map(|days| Duration::from_hours(24 * days));
    let name = common.name.clone();
    let holder = NamedHolder { name: common.name, ..role.into() };
    let (token, id) = issue(store, holder, lifetime).await.map_err(|error| CliError::of(&error))?;
    let place = app::store_place(&config.store);
    Ok(if json {
        let token = token.expose();
        json!({"id": id, "name": name, "token": token, "store": place}).to_string()
    } else {
        // Standard output has the token alone, so that a script can take it.
        output::note(format_args!("token {id} made in {place}"));
        token.expose().to_owned()
    })
}

/// Makes a token and returns it with the first digits of its hash. The store keeps only the hash.
pub(super) async fn issue(
    store: &dyn Records,
    holder: impl Into<NamedHolder>,
    lifetime: Option<Duration>,
) -> Result<(Secret, String), StoreError> {
    let token = auth::new_token();
    let created_at = clock::now();
    let expires_at = lifetime.map(|lifetime| created_at + lifetime);
    let holder = holder.into();
    let grant = Grant { hash: auth::hash(&token), holder, created_at, expires_at };
    let id = grant.hash.id().to_owned();
    store.put_grant(grant).await?;
    Ok((token, id))
}

async fn list(store: &dyn Records, json: bool) -> Result<String, CliError> {
    let grants = store.grants().await.map_err(|error| CliError::of(&error))?;
    let last_uses = store.last_uses().await.map_err(|error| CliError::of(&error))?;
    let used_at = |grant: &Grant| last_uses.of(&grant.credential());
    if json {
        let describe = |grant| describe(grant, used_at(grant));
        let grants: Vec<Value> = grants.iter().map(describe).collect();
        return Ok(Value::from(grants).to_string());
    }
    let mut table = Table::new(["ID", "NAME", "HOLDER", "SCOPE", "EXPIRES", "LAST USE"]);
    for grant in &grants {
        let expiry = match grant.expires_at {
            Some(at) if at <= clock::now() => "expired".to_owned(),
            Some(at) => moment::show(at.as_secs()),
            None => "never".to_owned(),
        };
        let (holder, scope) = match &grant.holder.role {
            Holder::Receiver { provider, receiver, scopes, .. } => {
                (format!("receiver {receiver} of {provider}"), Scope::list(scopes))
            }
            Holder::Publisher { provider } => (format!("publisher to {provider}"), "-".to_owned()),
            Holder::Operator => ("operator".to_owned(), "-".to_owned()),
        };
        let (id, name) = (grant.hash.id().to_owned(), name(grant).to_owned());
        table.add([id, name, holder, scope, expiry, last_use(used_at(grant))]);
    }
    Ok(table.to_string())
}

fn name(grant: &Grant) -> &str {
    grant.holder.name.as_ref().map_or("-", CredentialName::as_str)
}

/// Returns the text for the last use of a credential. A credential of which no use is recorded may
/// have been used before uses were recorded.
pub(super) fn last_use(at: Option<Timestamp>) -> String {
    at.map_or("none recorded".to_owned(), |at| moment::show(at.as_secs()))
}

fn describe(grant: &Grant, used_at: Option<Timestamp>) -> Value {
    let mut value = serde_json::to_value(&grant.holder).expect("a holder is plain data");
    value["id"] = grant.hash.id().into();
    value["name"] = json!(grant.holder.name);
    value["created_at"] = grant.created_at.as_secs().into();
    value["expires_at"] = grant.expires_at.map(Timestamp::as_secs).into();
    value["last_used_at"] = used_at.map(Timestamp::as_secs).into();
    value
}

async fn revoke(
    store: &dyn Records,
    id: &str,
    place: &str,
    json: bool,
) -> Result<String, CliError> {
    let grants = store.grants().await.map_err(|error| CliError::of(&error))?;
    let mut named = grants.iter().filter(|grant| grant.hash.as_str().starts_with(id));
    let grant = match (named.next(), named.next()) {
        (Some(grant), None) => grant,
        (Some(_), _) => return Err(CliError::new(format!("`{id}` names more than one token"))),
        (None, _) => return Err(CliError::new(format!("no token's hash starts with `{id}`"))),
    };
    store.revoke_grant(&grant.hash).await.map_err(|error| CliError::of(&error))?;
    let id = grant.hash.id();
    Ok(if json {
        json!({"revoked": id, "store": place}).to_string()
    } else {
        format!("revoked {id} in {place}")
    })
}
