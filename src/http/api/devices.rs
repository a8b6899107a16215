//! The resources of the admin API about devices that report their posture.

use actix_web::web;

use super::{
    AnswerSpec, Base, Caller, Operation, Parameter, Resource, Tag, shape::NewDeviceSchema,
};
use crate::http::admin::devices::{
    self, AllAgentsView, DeviceView, DevicesView, RegisteredDeviceView, ReleasedLossesView,
};

const NO_AGENTS: (u16, &str) = (404, "There are no such agents.");
const NO_DEVICE: (u16, &str) = (404, "There are no such agents, or there is no such device.");
const LOST_RACE: (u16, &str) = (409, "Another change of the device came between.");

const FILTER: &[Parameter] = &[
    Parameter::optional::<String>("provider", "Only devices of this provider."),
    Parameter::optional::<String>("agents", "Only devices of these agents. Goes with `provider`."),
    Parameter::optional::<String>(
        "status",
        "Only devices with this status: `unknown`, `compliant` or `not-compliant`.",
    ),
    Parameter::optional::<String>(
        "admission",
        "Only devices that are `registered`, `quarantined` or `revoked`.",
    ),
    Parameter::optional::<bool>("overdue", "Only devices that have not checked in for too long."),
    Parameter::optional::<String>("after", "Only devices behind the page before: its `next`."),
    Parameter::optional::<u16>("limit", "The most devices in the page: 1 to 1000, by default 100."),
];

const NEW_DEVICE: &str = r#"{
    "provider": "acme",
    "agents": "laptops",
    "name": "Kim's laptop",
    "platform": "macos",
    "user": {"format": "email", "email": "kim@example.com"}
}"#;

pub(in crate::http) const RESOURCES: &[Resource] = &[
    Resource {
        base: Base::Internal,
        path: "/admin/v1/agents",
        tag: Tag::Devices,
        operations: &[Operation::get("listAgents", || web::to(devices::list_agents))
            .says(
                "List the tables of agents",
                "All tables of all providers, with the losses of devices that are held.",
            )
            .caller(Caller::Operator)
            .answers(&[AnswerSpec::json::<AllAgentsView>(200, "The tables.")])],
    },
    Resource {
        base: Base::Internal,
        path: "/admin/v1/agents/{provider}/{agents}/losses/release",
        tag: Tag::Devices,
        operations: &[Operation::post("releaseLosses", || web::to(devices::release_losses))
            .says(
                "Release held losses",
                "Says that the devices which have not checked in are lost, although they are many. The \
                 next sweep judges them.",
            )
            .caller(Caller::Operator)
            .answers(&[AnswerSpec::json::<ReleasedLossesView>(200, "How many there are.")])
            .refuses(&[NO_AGENTS, (409, "No losses are held.")])],
    },
    Resource {
        base: Base::Internal,
        path: "/admin/v1/devices",
        tag: Tag::Devices,
        operations: &[
            Operation::get("listDevices", || web::to(devices::list))
                .says(
                    "List devices",
                    "In pages, by provider, agents and id. A page may have fewer devices than `limit`, or \
                     none. There are more as long as it has a `next`.",
                )
                .caller(Caller::Operator)
                .query(FILTER)
                .answers(&[AnswerSpec::json::<DevicesView>(200, "A page of devices.")]),
            Operation::post("registerDevice", || web::to(devices::add))
                .says("Register a device", "Its token is in the answer, and is never shown again.")
                .caller(Caller::Operator)
                .body::<NewDeviceSchema>(NEW_DEVICE)
                .answers(&[AnswerSpec::json::<RegisteredDeviceView>(201, "The device.")])
                .refuses(&[NO_AGENTS, (409, "There is a device with this id already.")]),
        ],
    },
    Resource {
        base: Base::Internal,
        path: "/admin/v1/devices/{provider}/{agents}/{device}",
        tag: Tag::Devices,
        operations: &[
            Operation::get("readDevice", || web::to(devices::show))
                .says(
                    "Read a device",
                    "With its status, the rules that it fails, and whether its clock is wrong.",
                )
                .caller(Caller::Operator)
                .answers(&[AnswerSpec::json::<DeviceView>(200, "The device.")])
                .refuses(&[NO_DEVICE]),
            Operation::delete("removeDevice", || web::to(devices::remove))
                .says(
                    "Remove a device",
                    "With its token and its standing. Where devices register themselves, it may come back; \
                     a revoked device may not.",
                )
                .caller(Caller::Operator)
                .answers(&[AnswerSpec::empty(204, "The device is gone.")])
                .refuses(&[NO_DEVICE, LOST_RACE]),
        ],
    },
    Resource {
        base: Base::Internal,
        path: "/admin/v1/devices/{provider}/{agents}/{device}/revoke",
        tag: Tag::Devices,
        operations: &[Operation::post("revokeDevice", || web::to(devices::revoke))
            .says("Revoke a device", "Its token ends at once, and its check-ins are refused.")
            .caller(Caller::Operator)
            .answers(&[AnswerSpec::json::<DeviceView>(200, "The device.")])
            .refuses(&[NO_DEVICE, LOST_RACE])],
    },
    Resource {
        base: Base::Internal,
        path: "/admin/v1/devices/{provider}/{agents}/{device}/approve",
        tag: Tag::Devices,
        operations: &[Operation::post("approveDevice", || web::to(devices::approve))
            .says(
                "Approve a quarantined device",
                "Its next check-in tells how it stands, as that of a new device.",
            )
            .caller(Caller::Operator)
            .answers(&[AnswerSpec::json::<DeviceView>(200, "The device.")])
            .refuses(&[NO_DEVICE, (409, "The device is not quarantined.")])],
    },
];
