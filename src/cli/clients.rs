//! `ssfd clients`: adds, lists and removes the clients of the built-in token endpoint.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{
    app, auth,
    cli::{self, CliError, audience::AudienceArgs, output, table::Table, tokens::last_use},
    clock,
    config::Config,
    domain::{
        client::Client,
        grant::{Credential, Scope},
        id::{ClientId, ProviderName, ReceiverId},
        oauth::TOKEN_ENDPOINT,
        time::Timestamp,
    },
    store::{ClientStore as _, Records, StoreError, records::last_use::LastUseStore as _},
};

const EXAMPLES: &str = "Examples:
  ssfd clients add --receiver acme --audience https://rx.example
  ssfd clients add --receiver acme --audience https://rx.example --client-id acme --scope ssf.read
  ssfd clients list --json
  ssfd clients remove acme";

/// Add, list and remove the clients of the built-in token endpoint.
///
/// A client gets access tokens by its id and secret (OAuth 2.0 client credentials). The store that the
/// configuration names keeps it. A running daemon accepts or refuses a client as soon as it is added or
/// removed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ClientsCommand {
    #[command(subcommand)]
    command: ClientsAction,
}

#[derive(Debug, Subcommand)]
enum ClientsAction {
    /// Add a client; its secret is shown once and never again
    #[command(after_help = examples!(
        "ssfd clients add --receiver acme --audience https://rx.example",
        "ssfd clients add --receiver acme --audience https://rx.example --client-id acme --scope ssf.read",
    ))]
    Add(Add),
    /// List clients with their last use
    #[command(after_help = examples!("ssfd clients list", "ssfd clients list --json"))]
    List,
    /// Remove a client and end all its tokens
    ///
    /// To change a secret, add a second client for the same Receiver, and remove the first when it is no
    /// longer used.
    #[command(after_help = examples!("ssfd clients remove acme"))]
    Remove {
        /// Its id, from `list`
        client_id: ClientId,
    },
}

#[derive(Debug, Args)]
struct Add {
    /// The provider; may be left out if only one is configured
    #[arg(long, value_name = "NAME")]
    provider: Option<ProviderName>,
    /// The owner of the streams that are made with its tokens
    #[arg(long)]
    receiver: ReceiverId,
    #[command(flatten)]
    audience: AudienceArgs,
    /// A scope that its tokens may have: `ssf.read` or `ssf.manage`, which covers it; may be given
    /// several times
    #[arg(long, default_value = "ssf.manage")]
    scope: Vec<Scope>,
    /// The id of the client [default: a random id]
    #[arg(long)]
    client_id: Option<ClientId>,
}

impl ClientsCommand {
    pub async fn run(self, config: &Config, json: bool) -> Result<(), CliError> {
        let store = app::open_existing_store(&config.store).await;
        let store = store.map_err(|error| CliError::of(&error))?;
        let text = match self.command {
            ClientsAction::Add(client) => add(&*store, client, config, json).await?,
            ClientsAction::List => list(&*store, json).await?,
            ClientsAction::Remove { client_id } => {
                remove(&*store, &client_id, &app::store_place(&config.store), json).await?
            }
        };
        output::print(text)?;
        Ok(())
    }
}

async fn add(
    store: &dyn Records,
    add: Add,
    config: &Config,
    json: bool,
) -> Result<String, CliError> {
    let provider = cli::provider(config, add.provider.as_ref())?;
    let settings = config.named_providers().remove(&provider.name);
    if let Some(issuer) = settings.and_then(|settings| settings.oauth.issuer) {
        let name = provider.name;
        let text = format!(
            "tokens for `{name}` come from {issuer}: list its clients in `providers.{name}.oauth.clients`"
        );
        return Err(CliError::new(text));
    }
    let random_id = || {
        let id = format!("client_{}", clock::random_uuid().simple());
        id.parse().expect("a valid id")
    };
    let secret = auth::new_token();
    let client = Client {
        id: add.client_id.unwrap_or_else(random_id),
        secret: auth::hash(&secret),
        provider: provider.name,
        receiver: add.receiver,
        audience: add.audience.read()?,
        scopes: add.scope,
        created_at: clock::now(),
    };
    let id = client.id.clone();
    store.create_client(client).await.map_err(|error| match error {
        StoreError::Conflict => CliError::new(format!("there is a client `{id}` already")),
        error => CliError::of(&error),
    })?;
    let endpoint = provider.issuer.url(TOKEN_ENDPOINT);
    let (secret, place) = (secret.expose(), app::store_place(&config.store));
    Ok(if json {
        let made = json!({
            "client_id": id, "client_secret": secret, "token_endpoint": endpoint, "store": place,
        });
        made.to_string()
    } else {
        format!(
            "client_id      {id}\nclient_secret  {secret}\ntoken_endpoint {endpoint}\n\
             store          {place}"
        )
    })
}

async fn list(store: &dyn Records, json: bool) -> Result<String, CliError> {
    let clients = store.clients().await.map_err(|error| CliError::of(&error))?;
    let last_uses = store.last_uses().await.map_err(|error| CliError::of(&error))?;
    let used_at = |client: &Client| last_uses.of(&Credential::Client(client.id.clone()));
    if json {
        let describe = |client| describe(client, used_at(client));
        let clients: Vec<Value> = clients.iter().map(describe).collect();
        return Ok(Value::from(clients).to_string());
    }
    let mut table = Table::new(["CLIENT", "RECEIVER", "PROVIDER", "SCOPE", "LAST USE"]);
    for client in &clients {
        let Client { id, receiver, provider, scopes, .. } = client;
        table.add([
            id.to_string(),
            receiver.to_string(),
            provider.to_string(),
            Scope::list(scopes),
            last_use(used_at(client)),
        ]);
    }
    Ok(table.to_string())
}

fn describe(client: &Client, used_at: Option<Timestamp>) -> Value {
    json!({
        "client_id": client.id,
        "provider": client.provider,
        "receiver": client.receiver,
        "audience": client.audience,
        "scopes": client.scopes,
        "created_at": client.created_at.as_secs(),
        "last_used_at": used_at.map(Timestamp::as_secs),
    })
}

async fn remove(
    store: &dyn Records,
    id: &ClientId,
    place: &str,
    json: bool,
) -> Result<String, CliError> {
    if !store.delete_client(id).await.map_err(|error| CliError::of(&error))? {
        return Err(CliError::new(format!("there is no client `{id}`")));
    }
    Ok(if json {
        json!({"removed": id, "store": place}).to_string()
    } else {
        format!("removed {id} from {place}")
    })
}
