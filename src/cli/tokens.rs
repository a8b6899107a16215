//! `ssfd tokens`: makes, lists and revokes static bearer tokens.

use std::time::Duration;

use clap::{Args, Subcommand, builder::NonEmptyStringValueParser};
use serde_json::{Value, json};

use crate::{
    app, auth,
    cli::{self, CliError},
    clock,
    config::Config,
    domain::{
        audience::Audience,
        grant::{Grant, Holder, Scope},
        id::{ProviderName, ReceiverId},
        secret::Secret,
    },
    store::{Store, StoreError},
};

const EXAMPLES: &str = "Examples:
  ssfd tokens create receiver --receiver acme --audience https://rx.example
  ssfd tokens create receiver --receiver acme --audience https://rx.example --scope ssf.read
  ssfd tokens create publisher --provider default --expires-in-days 90
  ssfd tokens create operator
  ssfd tokens list --json
  ssfd tokens revoke 3f9a1c";

/// Make, list and revoke the bearer tokens of Receivers, publishers and operators.
///
/// They are kept, as hashes, in the store that the configuration names; a running daemon obeys at
/// once.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Tokens {
    #[command(subcommand)]
    command: TokensCommand,
}

#[derive(Debug, Subcommand)]
enum TokensCommand {
    /// Make a token; it is shown once and never again
    #[command(after_help = EXAMPLES)]
    Create {
        #[command(subcommand)]
        holder: Create,
    },
    /// List tokens by the head of their hash
    #[command(after_help = EXAMPLES)]
    List,
    /// Revoke the token whose hash starts so
    #[command(after_help = EXAMPLES)]
    Revoke {
        /// As `list` shows it
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
    },
}

#[derive(Debug, Subcommand)]
enum Create {
    /// A token for a Receiver, to manage and poll its streams
    #[command(after_help = EXAMPLES)]
    Receiver {
        #[arg(long, default_value = "default")]
        provider: ProviderName,
        /// Who owns the streams that are made with this token
        #[arg(long)]
        receiver: ReceiverId,
        /// The `aud` of those streams; may be given several times
        #[arg(long, required = true)]
        audience: Vec<String>,
        /// `ssf.read` or `ssf.manage`, which covers it; may be given several times
        #[arg(long, default_value = "ssf.manage")]
        scope: Vec<Scope>,
        #[command(flatten)]
        lifetime: Lifetime,
    },
    /// A token for those who run the daemon, to manage the streams of all Receivers
    #[command(after_help = EXAMPLES)]
    Operator {
        #[command(flatten)]
        lifetime: Lifetime,
    },
    /// A token for an upstream, to publish events over HTTP
    #[command(after_help = EXAMPLES)]
    Publisher {
        #[arg(long, default_value = "default")]
        provider: ProviderName,
        #[command(flatten)]
        lifetime: Lifetime,
    },
}

#[derive(Debug, Args)]
struct Lifetime {
    /// Days until the token expires [default: never]
    #[arg(long, value_name = "DAYS")]
    expires_in_days: Option<u32>,
}

impl Tokens {
    pub async fn run(self, config: &Config, json: bool) -> Result<(), CliError> {
        let store = app::open_store(&config.store).await;
        let store = store.map_err(|error| CliError::of(&error))?;
        let text = match self.command {
            TokensCommand::Create { holder } => create(&*store, holder, config, json).await?,
            TokensCommand::List => list(&*store, json).await?,
            TokensCommand::Revoke { id } => revoke(&*store, &id, json).await?,
        };
        println!("{text}");
        Ok(())
    }
}

async fn create(
    store: &dyn Store,
    create: Create,
    config: &Config,
    json: bool,
) -> Result<String, CliError> {
    let (holder, lifetime) = match create {
        Create::Receiver { provider, receiver, audience, scope, lifetime } => {
            let audience = Audience::from_values(audience).map_err(CliError::new)?;
            (Holder::Receiver { provider, receiver, audience, scopes: scope }, lifetime)
        }
        Create::Publisher { provider, lifetime } => (Holder::Publisher { provider }, lifetime),
        Create::Operator { lifetime } => (Holder::Operator, lifetime),
    };
    match &holder {
        Holder::Receiver { provider, .. } | Holder::Publisher { provider } => {
            cli::provider(config, Some(provider))?;
        }
        Holder::Operator => {}
    }
    let days = lifetime.expires_in_days.map(u64::from);
    let lifetime = days.map(|days| Duration::from_hours(24 * days));
    let (token, id) = issue(store, holder, lifetime).await.map_err(|error| CliError::of(&error))?;
    Ok(if json {
        json!({"id": id, "token": token.expose()}).to_string()
    } else {
        token.expose().to_owned()
    })
}

/// A new token, and the head of its hash, which is what the store keeps of it.
pub(super) async fn issue(
    store: &dyn Store,
    holder: Holder,
    lifetime: Option<Duration>,
) -> Result<(Secret, String), StoreError> {
    let token = auth::new_token();
    let created_at = clock::now();
    let expires_at = lifetime.map(|lifetime| created_at + lifetime);
    let grant = Grant { hash: auth::hash(&token), holder, created_at, expires_at };
    let id = grant.hash.id().to_owned();
    store.put_grant(grant).await?;
    Ok((token, id))
}

async fn list(store: &dyn Store, json: bool) -> Result<String, CliError> {
    let grants = store.grants().await.map_err(|error| CliError::of(&error))?;
    if json {
        let grants: Vec<Value> = grants.iter().map(describe).collect();
        return Ok(Value::from(grants).to_string());
    }
    let lines = grants.iter().map(|grant| {
        let expiry = match grant.expires_at {
            Some(at) if at <= clock::now() => "expired",
            Some(_) => "expires",
            None => "never expires",
        };
        let holder = match &grant.holder {
            Holder::Receiver { provider, receiver, scopes, .. } => {
                format!("receiver {receiver} of {provider}, {}", Scope::list(scopes))
            }
            Holder::Publisher { provider } => format!("publisher to {provider}"),
            Holder::Operator => "operator".to_owned(),
        };
        format!("{}  {holder}, {expiry}", grant.hash.id())
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

fn describe(grant: &Grant) -> Value {
    let mut value = serde_json::to_value(&grant.holder).expect("a holder is plain data");
    value["id"] = grant.hash.id().into();
    value["created_at"] = grant.created_at.as_secs().into();
    value["expires_at"] = grant.expires_at.map(crate::domain::time::Timestamp::as_secs).into();
    value
}

async fn revoke(store: &dyn Store, id: &str, json: bool) -> Result<String, CliError> {
    let grants = store.grants().await.map_err(|error| CliError::of(&error))?;
    let mut named = grants.iter().filter(|grant| grant.hash.as_str().starts_with(id));
    let grant = match (named.next(), named.next()) {
        (Some(grant), None) => grant,
        (Some(_), _) => return Err(CliError::new(format!("`{id}` names more than one token"))),
        (None, _) => return Err(CliError::new(format!("no token's hash starts with `{id}`"))),
    };
    store.revoke_grant(&grant.hash).await.map_err(|error| CliError::of(&error))?;
    let id = grant.hash.id();
    Ok(if json { json!({"revoked": id}).to_string() } else { format!("revoked {id}") })
}
