//! `ssfd devices`: an operator registers the devices that report their posture, looks at them and revokes
//! them.

use std::{fs, path::PathBuf};

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use crate::{
    cli::{
        CliError,
        admin::{AdminArgs, AdminClient},
        moment, output, plain,
        source::ConfigSource,
        table::Table,
    },
    domain::id::{AgentsName, DeviceId, ProviderName},
    http::admin::{
        PAGE_MAX,
        devices::{
            AgentsView, AllAgentsView, DeviceView, DevicesView, RegisteredDeviceView,
            ReleasedLossesView,
        },
    },
};

const EXAMPLES: &str = "Examples:
  ssfd devices add laptops --name 'Kim' --platform macos --token-file operator.token
  ssfd devices add laptops --device mac-0042 --user '{\"format\":\"email\",\"email\":\"kim@example.com\"}'
  ssfd devices list
  ssfd devices list laptops --status not-compliant
  ssfd devices show laptops mac-0042
  ssfd devices revoke laptops mac-0042
  ssfd devices approve laptops mac-0042
  ssfd devices remove laptops mac-0042
  ssfd devices agents
  ssfd devices release-losses laptops";

/// Register, list, show, approve, revoke and remove the devices that report their posture.
///
/// A device belongs to a table of agents in the configuration, which has the rules that it must meet. The
/// commands send requests to the internal listener of a running daemon, with an operator's token (`ssfd
/// tokens create operator`).
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DevicesCommand {
    #[command(subcommand)]
    command: DevicesAction,
}

#[derive(Debug, Subcommand)]
enum DevicesAction {
    /// Register a device; its token is shown once and never again
    #[command(after_help = examples!(
        "ssfd devices add laptops --name 'Kim' --platform macos",
        "ssfd devices add laptops --device mac-0042 --device-token-file old.token",
    ))]
    Add(Add),
    /// List devices with their status, their last check-in and the rules that they fail
    #[command(after_help = examples!(
        "ssfd devices list",
        "ssfd devices list laptops --status not-compliant",
        "ssfd devices list --overdue --json",
    ))]
    List(List),
    /// Show one device
    #[command(after_help = examples!("ssfd devices show laptops mac-0042"))]
    Show(OneDevice),
    /// Revoke a device: its token ends, and it cannot register itself again
    #[command(after_help = examples!("ssfd devices revoke laptops mac-0042"))]
    Revoke(OneDevice),
    /// Approve a device that has registered itself and is quarantined
    #[command(after_help = examples!("ssfd devices approve laptops mac-0042"))]
    Approve(OneDevice),
    /// Remove a device with its token; nothing of it is kept
    #[command(after_help = examples!("ssfd devices remove laptops mac-0042"))]
    Remove(OneDevice),
    /// List the tables of agents, with the losses of devices that are held
    #[command(after_help = examples!("ssfd devices agents"))]
    Agents(AdminArgs),
    /// Say that the devices which have not checked in are lost, although they are many
    #[command(after_help = examples!("ssfd devices release-losses laptops"))]
    ReleaseLosses {
        /// The table of agents, or PROVIDER/AGENTS if several have the name
        #[arg(value_name = "AGENTS")]
        agents: AgentsRef,
        #[command(flatten)]
        access: AdminArgs,
    },
}

/// The name of a table of agents, with or without its provider.
#[derive(Debug, Clone)]
struct AgentsRef {
    provider: Option<ProviderName>,
    name: AgentsName,
}

impl std::str::FromStr for AgentsRef {
    type Err = crate::domain::id::InvalidId;

    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        Ok(match raw.split_once('/') {
            Some((provider, name)) => {
                Self { provider: Some(provider.parse()?), name: name.parse()? }
            }
            None => Self { provider: None, name: raw.parse()? },
        })
    }
}

#[derive(Debug, Args)]
struct Add {
    /// The table of agents, or PROVIDER/AGENTS if several have the name
    #[arg(value_name = "AGENTS")]
    agents: AgentsRef,
    /// The id of the device [default: a random id]
    #[arg(long, value_name = "ID")]
    device: Option<DeviceId>,
    /// A name for people
    #[arg(long)]
    name: Option<String>,
    /// The platform, by which rules are chosen [default: as the facts say]
    #[arg(long)]
    platform: Option<String>,
    /// The subject identifier of the user, in JSON
    #[arg(long, value_name = "JSON")]
    user: Option<String>,
    /// A file with a token that the device has already [default: a new token]
    #[arg(long, value_name = "FILE")]
    device_token_file: Option<PathBuf>,
    #[command(flatten)]
    access: AdminArgs,
}

#[derive(Debug, Args)]
struct List {
    /// Only devices of this table of agents, or PROVIDER/AGENTS
    #[arg(value_name = "AGENTS")]
    agents: Option<AgentsRef>,
    /// Only devices of this provider
    #[arg(long, value_name = "NAME", conflicts_with = "agents")]
    provider: Option<ProviderName>,
    /// Only devices that are `unknown`, `compliant` or `not-compliant`
    #[arg(long)]
    status: Option<String>,
    /// Only devices that are `registered`, `quarantined` or `revoked`
    #[arg(long)]
    admission: Option<String>,
    /// Only devices that have not checked in for too long
    #[arg(long)]
    overdue: bool,
    #[command(flatten)]
    access: AdminArgs,
}

#[derive(Debug, Args)]
struct OneDevice {
    /// The table of agents, or PROVIDER/AGENTS if several have the name
    #[arg(value_name = "AGENTS")]
    agents: AgentsRef,
    /// The id of the device
    #[arg(value_name = "DEVICE")]
    device: DeviceId,
    #[command(flatten)]
    access: AdminArgs,
}

impl DevicesCommand {
    pub async fn run(self, config: &ConfigSource, json: bool) -> Result<(), CliError> {
        let text = match self.command {
            DevicesAction::Add(add) => add.run(config, json).await?,
            DevicesAction::List(list) => list.run(config, json).await?,
            DevicesAction::Show(one) => {
                let (admin, path) = one.open(config).await?;
                let device: DeviceView = admin.get(&below(&path, &[]), &[]).await?;
                if json { to_json(&device) } else { describe(&device) }
            }
            DevicesAction::Revoke(one) => one.post(config, "revoke", json).await?,
            DevicesAction::Approve(one) => one.post(config, "approve", json).await?,
            DevicesAction::Remove(one) => {
                let (admin, path) = one.open(config).await?;
                admin.send_empty(Method::DELETE, &below(&path, &[])).await?;
                let device = &path[2];
                if json {
                    json!({"removed": device}).to_string()
                } else {
                    format!("removed {device}")
                }
            }
            DevicesAction::Agents(access) => {
                let AllAgentsView { agents } = access.client(config)?.get(&["agents"], &[]).await?;
                if json { to_json(&agents) } else { tables(&agents) }
            }
            DevicesAction::ReleaseLosses { agents, access } => {
                let admin = access.client(config)?;
                let [provider, agents] = agents.find(&admin).await?;
                let path = ["agents", &provider, &agents, "losses", "release"];
                let released: ReleasedLossesView = admin.post(&path, &json!({})).await?;
                if json {
                    to_json(&released)
                } else {
                    format!("{} devices count as lost with the next sweep", released.devices)
                }
            }
        };
        output::print(text)
    }
}

fn below<'a>(path: &'a [String; 3], rest: &[&'a str]) -> Vec<&'a str> {
    let [provider, agents, device] = path;
    ["devices", provider, agents, device].iter().chain(rest).copied().collect()
}

impl AgentsRef {
    /// Returns the provider and the name of the table.
    async fn find(self, admin: &AdminClient) -> Result<[String; 2], CliError> {
        let Self { provider, name } = self;
        if let Some(provider) = provider {
            return Ok([provider.to_string(), name.to_string()]);
        }
        let AllAgentsView { agents } = admin.get(&["agents"], &[]).await?;
        let named = agents.into_iter().filter(|agents| agents.agents == name);
        let providers: Vec<_> = named.map(|agents| agents.provider.to_string()).collect();
        match <[String; 1]>::try_from(providers) {
            Ok([provider]) => Ok([provider, name.to_string()]),
            Err(none) if none.is_empty() => Err(CliError::new(format!(
                "there are no agents `{name}`; `ssfd devices agents` lists the tables"
            ))),
            Err(several) => {
                let choices: Vec<_> = several.iter().map(|one| format!("{one}/{name}")).collect();
                Err(CliError::new(format!(
                    "several providers have agents `{name}`; choose one of: {}",
                    choices.join(", ")
                )))
            }
        }
    }
}

impl OneDevice {
    async fn open(self, config: &ConfigSource) -> Result<(AdminClient, [String; 3]), CliError> {
        let admin = self.access.client(config)?;
        let [provider, agents] = self.agents.find(&admin).await?;
        Ok((admin, [provider, agents, self.device.to_string()]))
    }

    async fn post(
        self,
        config: &ConfigSource,
        action: &str,
        json: bool,
    ) -> Result<String, CliError> {
        let (admin, path) = self.open(config).await?;
        let device: DeviceView = admin.post(&below(&path, &[action]), &json!({})).await?;
        Ok(if json { to_json(&device) } else { describe(&device) })
    }
}

impl Add {
    async fn run(self, config: &ConfigSource, json: bool) -> Result<String, CliError> {
        let user: Option<Value> = match &self.user {
            None => None,
            Some(user) => Some(serde_json::from_str(user).map_err(|error| {
                CliError::new(format!("--user must be a subject identifier in JSON: {error}"))
            })?),
        };
        let token = self.device_token_file.map(|file| {
            let text = fs::read_to_string(&file);
            let text = text.map_err(|error| CliError::new(format!("{}: {error}", file.display())));
            text.map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
        });
        let token = token.transpose()?;
        let admin = self.access.client(config)?;
        let [provider, agents] = self.agents.find(&admin).await?;
        let mut body = json!({"provider": provider, "agents": agents});
        for (name, value) in [
            ("device", self.device.map(|device| json!(device))),
            ("name", self.name.map(Value::from)),
            ("platform", self.platform.map(Value::from)),
            ("user", user),
            ("token", token.map(Value::from)),
        ] {
            if let Some(value) = value {
                body[name] = value;
            }
        }
        let added: RegisteredDeviceView = admin.post(&["devices"], &body).await?;
        if json {
            return Ok(to_json(&added));
        }
        let RegisteredDeviceView { token, audience, path, device } = added;
        Ok(format!(
            "device    {}\ntoken     {token}\naudience  {audience}\npath      {path}",
            device.device
        ))
    }
}

impl List {
    async fn run(self, config: &ConfigSource, json: bool) -> Result<String, CliError> {
        let admin = self.access.client(config)?;
        let mut query = vec![("limit", PAGE_MAX.to_string())];
        if let Some(agents) = self.agents {
            let [provider, agents] = agents.find(&admin).await?;
            query.extend([("provider", provider), ("agents", agents)]);
        }
        query.extend(self.provider.map(|provider| ("provider", provider.to_string())));
        query.extend(self.status.map(|status| ("status", status)));
        query.extend(self.admission.map(|admission| ("admission", admission)));
        if self.overdue {
            query.push(("overdue", true.to_string()));
        }
        let (mut devices, mut after) = (Vec::new(), None);
        loop {
            let after_query = after.map(|after| ("after", after));
            let query: Vec<_> = query.iter().cloned().chain(after_query).collect();
            let page: DevicesView = admin.get(&["devices"], &query).await?;
            devices.extend(page.devices);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(if json { to_json(&devices) } else { list(&devices) })
    }
}

fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("views are plain data")
}

fn failing(device: &DeviceView) -> String {
    let rules: Vec<_> = device.failing.iter().map(|failing| failing.rule.as_str()).collect();
    if rules.is_empty() { "-".to_owned() } else { plain(&rules.join(" ")) }
}

/// Returns the status of a device in a word, or its admission if that says more.
fn status(device: &DeviceView) -> String {
    match device.admission.as_str() {
        "registered" if device.lost_at.is_some() => format!("{} (lost)", device.status),
        "registered" => device.status.clone(),
        other => other.to_owned(),
    }
}

fn list(devices: &[DeviceView]) -> String {
    let mut table = Table::new(["AGENTS", "DEVICE", "NAME", "STATUS", "LAST CHECK-IN", "FAILING"]);
    for device in devices {
        let overdue = if device.overdue { " (overdue)" } else { "" };
        let last = device.last_check_in.map_or_else(|| "never".to_owned(), moment::show);
        table.add([
            format!("{}/{}", device.provider, device.agents),
            device.device.to_string(),
            plain(device.name.as_deref().unwrap_or("-")),
            status(device),
            last + overdue,
            failing(device),
        ]);
    }
    table.to_string()
}

fn describe(device: &DeviceView) -> String {
    let rules = device.failing.iter();
    let rules = rules.map(|one| format!("{} since {}", one.rule, moment::show(one.since)));
    let rules: Vec<_> = rules.collect();
    let clock = device.clock_off.as_ref().map(|off| {
        let side = if off.secs < 0 { "behind" } else { "ahead" };
        let (by, at) = (off.secs.unsigned_abs(), moment::show(off.seen_at));
        format!("{by} s {side} at {at}; its answers are refused until it is set")
    });
    let last = device.last_check_in.map_or_else(|| "never".to_owned(), moment::show);
    let overdue = if device.overdue { ", overdue" } else { "" };
    let members = [
        ("device", Some(device.device.to_string())),
        ("agents", Some(format!("{}/{}", device.provider, device.agents))),
        ("name", device.name.clone()),
        ("platform", device.platform.clone()),
        ("user", device.user.as_ref().map(Value::to_string)),
        ("admission", Some(device.admission.clone())),
        ("status", Some(device.status.clone())),
        ("since", device.status_since.map(moment::show)),
        ("failing", (!rules.is_empty()).then(|| rules.join(", "))),
        ("check-in", Some(last + overdue)),
        ("lost", device.lost_at.map(moment::show)),
        ("clock", clock),
        ("registered", Some(moment::show(device.registered_at))),
        ("revoked", device.revoked_at.map(moment::show)),
    ];
    let shown = members.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let lines: Vec<_> =
        shown.map(|(name, value)| format!("{name:10}  {}", plain(&value))).collect();
    lines.join("\n")
}

fn tables(all: &[AgentsView]) -> String {
    let mut table = Table::new(["AGENTS", "PATH", "AUDIENCE", "RULES", "HELD LOSSES"]);
    for agents in all {
        let held = agents.held_losses.as_ref();
        let held =
            held.map(|held| format!("{} since {}", held.devices, moment::show(held.held_at)));
        table.add([
            format!("{}/{}", agents.provider, agents.agents),
            agents.path.clone(),
            plain(&agents.audience),
            plain(&agents.rules.join(" ")),
            held.unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table.to_string()
}
