//! The one table of who may call what: every gRPC method and every HTTP route, default deny.
//!
//! A call whose path has no row is refused, also where a service would answer it. The table decides by kind of caller;
//! what a caller may do with a given person is decided after parsing, by the domain's policy.

use banyan_domain::CommandName;
use banyan_domain::policy::{Action, Resource, decide};
use banyan_wire::errors::Code;
use banyan_wire::v1::ErrorDetail;

use super::authority::Authenticated;

/// What a caller must be for a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone, without a certificate too. Nothing but liveness and readiness.
    Anyone,
    /// Whoever has an identity in this cluster.
    Identified,
    /// Whoever policy allows at least one of these actions by role.
    Policy(&'static [Action]),
}

/// Commands are judged one by one after parsing; here the role must carry at least one.
const SUBMIT: Access = Access::Policy(&[
    Action::Submit(CommandName::RegisterPerson),
    Action::Submit(CommandName::RegisterBirth),
    Action::Submit(CommandName::CorrectPerson),
    Action::Submit(CommandName::RecordDeath),
]);
const READ_PERSON: Access = Access::Policy(&[Action::ReadPerson]);
const FIND_PERSONS: Access = Access::Policy(&[Action::FindPersons]);
const READ_HISTORY: Access = Access::Policy(&[Action::ReadHistory]);
const SCAN_PERSONS: Access = Access::Policy(&[Action::ScanPersons]);
/// Each call of a stream is judged by its own row; here the role must carry at least one of them.
const CALLS: Access = Access::Policy(&[
    Action::ReadPerson,
    Action::FindPersons,
    Action::ReadHistory,
    Action::ScanPersons,
    Action::Submit(CommandName::RegisterPerson),
    Action::Submit(CommandName::RegisterBirth),
    Action::Submit(CommandName::CorrectPerson),
    Action::Submit(CommandName::RecordDeath),
]);
const ADMINISTER: Access = Access::Policy(&[Action::AdministerCluster]);
const DESCRIBE: Access = Access::Policy(&[Action::ReadMetrics]);

/// What a timeout of a method means for its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It changes nothing: a timeout is a timeout.
    Reads,
    /// It may have been proposed: a timeout leaves the outcome unknown.
    Writes,
}

/// One method or route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// gRPC: `/package.Service/Method`; HTTP: the path.
    pub path: &'static str,
    /// The name in metrics and logs.
    pub name: &'static str,
    /// Who may call it.
    pub access: Access,
    /// What a timeout means.
    pub effect: Effect,
}

impl Row {
    /// Whether a call proposes one command.
    #[must_use]
    pub fn is_single_write(&self) -> bool {
        self.effect == Effect::Writes && self.name == "Submit"
    }
}

const fn row(path: &'static str, name: &'static str, access: Access, effect: Effect) -> Row {
    Row {
        path,
        name,
        access,
        effect,
    }
}

/// Every gRPC method of the client port.
pub const GRPC: &[Row] = &[
    row(
        "/banyan.v1.Registry/Submit",
        "Submit",
        SUBMIT,
        Effect::Writes,
    ),
    row(
        "/banyan.v1.Registry/SubmitBatch",
        "SubmitBatch",
        SUBMIT,
        Effect::Writes,
    ),
    row(
        "/banyan.v1.Registry/GetPerson",
        "GetPerson",
        READ_PERSON,
        Effect::Reads,
    ),
    row(
        "/banyan.v1.Registry/GetPersons",
        "GetPersons",
        READ_PERSON,
        Effect::Reads,
    ),
    row(
        "/banyan.v1.Registry/FindPersons",
        "FindPersons",
        FIND_PERSONS,
        Effect::Reads,
    ),
    row(
        "/banyan.v1.Registry/GetHistory",
        "GetHistory",
        READ_HISTORY,
        Effect::Reads,
    ),
    row(
        "/banyan.v1.Registry/ScanPersons",
        "ScanPersons",
        SCAN_PERSONS,
        Effect::Reads,
    ),
    row("/banyan.v1.Registry/Calls", "Calls", CALLS, Effect::Reads),
    row(
        "/banyan.v1.ClusterAdmin/Bootstrap",
        "Bootstrap",
        ADMINISTER,
        Effect::Writes,
    ),
    row(
        "/banyan.v1.ClusterAdmin/Status",
        "Status",
        ADMINISTER,
        Effect::Reads,
    ),
    row(
        "/banyan.v1.ClusterAdmin/TransferLeader",
        "TransferLeader",
        ADMINISTER,
        Effect::Writes,
    ),
    row(
        "/banyan.v1.ClusterAdmin/StartDigest",
        "StartDigest",
        ADMINISTER,
        Effect::Writes,
    ),
    row(
        "/banyan.v1.ClusterAdmin/GetDigest",
        "GetDigest",
        ADMINISTER,
        Effect::Reads,
    ),
    row(
        "/banyan.v1.ClusterAdmin/TakeSnapshot",
        "TakeSnapshot",
        ADMINISTER,
        Effect::Reads,
    ),
    row(
        "/banyan.v1.ClusterAdmin/ChangeMembers",
        "ChangeMembers",
        ADMINISTER,
        Effect::Writes,
    ),
    row(
        "/grpc.health.v1.Health/Check",
        "HealthCheck",
        Access::Identified,
        Effect::Reads,
    ),
    row(
        "/grpc.health.v1.Health/Watch",
        "HealthWatch",
        Access::Identified,
        Effect::Reads,
    ),
    row(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "Reflection",
        DESCRIBE,
        Effect::Reads,
    ),
    row(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "ReflectionAlpha",
        DESCRIBE,
        Effect::Reads,
    ),
];

/// What nodes of the bench serve besides, and no registry (ADR 0027). The service itself admits the centre only.
pub const RAW_VALUES: &[Row] = &[
    row(
        "/banyan.internal.v1.RawValues/Put",
        "PutRawValue",
        SUBMIT,
        Effect::Writes,
    ),
    row(
        "/banyan.internal.v1.RawValues/PutStream",
        "PutRawValueStream",
        SUBMIT,
        Effect::Reads,
    ),
    row(
        "/banyan.internal.v1.RawValues/PutBatch",
        "PutRawValues",
        SUBMIT,
        Effect::Writes,
    ),
    row(
        "/banyan.internal.v1.RawValues/Get",
        "GetRawValue",
        SUBMIT,
        Effect::Reads,
    ),
];

/// Every route of the HTTP edge. Only those for anyone exist on the plain loopback listener.
pub const HTTP: &[Row] = &[
    row("/livez", "livez", Access::Anyone, Effect::Reads),
    row("/readyz", "readyz", Access::Anyone, Effect::Reads),
    row("/metrics", "metrics", DESCRIBE, Effect::Reads),
];

/// The row of a path, if there is one.
#[must_use]
pub fn find(table: &'static [Row], path: &str) -> Option<&'static Row> {
    table.iter().find(|row| row.path == path)
}

impl Access {
    /// Whether a caller is let in; `None` is a caller without an identity.
    ///
    /// # Errors
    /// The detail to answer with.
    pub fn admit(self, caller: Option<&Authenticated>) -> Result<(), ErrorDetail> {
        let actions = match (self, caller) {
            (Self::Anyone, _) | (Self::Identified, Some(_)) => return Ok(()),
            (_, None) => {
                return Err(ErrorDetail::new(
                    Code::IdentityMissing,
                    "a client certificate is required",
                ));
            }
            (Self::Policy(actions), Some(caller)) => {
                if actions
                    .iter()
                    .any(|action| allowed_by_role(caller, *action))
                {
                    return Ok(());
                }
                actions
            }
        };
        let for_operators = actions
            .iter()
            .any(|action| matches!(action, Action::AdministerCluster | Action::ReadMetrics));
        Err(if for_operators {
            ErrorDetail::new(Code::OperatorOnly, "this method is for operators")
        } else {
            ErrorDetail::new(
                Code::NotAuthorised,
                "this method is for registrars and the centre; operators neither read nor change persons",
            )
        })
    }
}

fn allowed_by_role(caller: &Authenticated, action: Action) -> bool {
    let resource = match action {
        Action::AdministerCluster | Action::ReadMetrics => Resource::Cluster,
        _ => Resource::UnreadRecord,
    };
    decide(&caller.actor, action, &resource).is_ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    /// `/package.Service/Method` for each method of an encoded set of descriptors.
    fn methods(descriptors: &[u8]) -> BTreeSet<String> {
        let set = FileDescriptorSet::decode(descriptors).unwrap();
        let mut paths = BTreeSet::new();
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    let (package, service, method) =
                        (file.package(), service.name(), method.name());
                    paths.insert(format!("/{package}.{service}/{method}"));
                }
            }
        }
        paths
    }

    #[test]
    fn every_grpc_method_has_a_row_and_every_row_a_method() {
        let mut served: BTreeSet<String> = methods(banyan_wire::FILE_DESCRIPTOR_SET)
            .into_iter()
            .filter(|path| path.starts_with("/banyan.v1."))
            .collect();
        served.extend(methods(tonic_health::pb::FILE_DESCRIPTOR_SET));
        served.extend(methods(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET));
        served.extend(methods(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET));
        let rows: BTreeSet<String> = GRPC.iter().map(|row| row.path.to_owned()).collect();
        assert_eq!(rows.len(), GRPC.len(), "a path stands twice in the table");
        assert_eq!(rows, served);
    }

    #[test]
    fn every_method_of_raw_values_has_a_row_and_every_row_a_method() {
        let served: BTreeSet<String> = methods(banyan_wire::FILE_DESCRIPTOR_SET)
            .into_iter()
            .filter(|path| path.starts_with("/banyan.internal.v1.RawValues/"))
            .collect();
        let rows = RAW_VALUES.iter().map(|row| row.path.to_owned());
        assert_eq!(rows.collect::<BTreeSet<String>>(), served);
        assert!(RAW_VALUES.iter().all(|row| row.access == SUBMIT));
    }

    #[test]
    fn a_path_without_a_row_is_not_found() {
        assert_eq!(find(GRPC, "/banyan.v1.Registry/Erase"), None);
        assert_eq!(find(GRPC, "/banyan.internal.v1.Peer/Append"), None);
        assert_eq!(find(GRPC, "/banyan.internal.v1.RawValues/Put"), None);
        assert_eq!(find(HTTP, "/metrics/"), None);
    }

    #[test]
    fn nothing_but_liveness_and_readiness_is_for_anyone() {
        let open: Vec<&str> = GRPC
            .iter()
            .chain(HTTP)
            .filter(|row| row.access == Access::Anyone)
            .map(|row| row.path)
            .collect();
        assert_eq!(open, ["/livez", "/readyz"]);
    }
}
