//! How what came of a block is told.

use std::fmt::Write as _;

use banyan_domain::{
    AuditRecord, CalendarDate, Decision, DistrictCode, Event, Mutation, Outcome, PersonVersion,
    Place, ProvinceCode, TemporaryStay, WardCode,
};

pub(crate) fn outcome(outcome: &Outcome) -> String {
    let replayed = if outcome.replayed {
        ", the first answer again"
    } else {
        ""
    };
    let decided = format!(
        "decided at {} on {}{replayed}",
        outcome.position,
        CalendarDate::in_viet_nam(outcome.time)
    );
    match &outcome.result {
        Ok(accepted) => {
            let (person, version, pin) = (accepted.person, accepted.version, accepted.pin.as_str());
            let mut line = format!(
                "outcome: accepted, person {person} version {version}, number {pin}, {decided}"
            );
            for finding in &accepted.findings {
                write!(
                    line,
                    "\nfinding: {} {}",
                    finding.code.label(),
                    finding.field
                )
                .unwrap();
            }
            line
        }
        Err(rejection) => format!("outcome: {}: {rejection}, {decided}", rejection.name()),
    }
}

/// The mutations as lines, but the counters and counts, which follow from the rest.
pub(crate) fn told(mutations: &[Mutation]) -> Vec<String> {
    let mut indexes = Vec::new();
    let mut lines = Vec::new();
    for mutation in mutations {
        match mutation {
            Mutation::PutVersion(version) => lines.extend(told_record(version)),
            Mutation::AppendEvent(event) => lines.push(told_event(event)),
            Mutation::AppendAudit(audit) => lines.push(told_audit(audit)),
            Mutation::BindPin { .. } => indexes.push("+number"),
            Mutation::BindCmnd { .. } => indexes.push("+card"),
            Mutation::UnbindCmnd { .. } => indexes.push("-card"),
            Mutation::BindForm { .. } => indexes.push("+document"),
            Mutation::IndexName { .. } => indexes.push("+name"),
            Mutation::UnindexName { .. } => indexes.push("-name"),
            Mutation::PutOutcome { .. } => indexes.push("+answer"),
            Mutation::DropOutcome { .. } => indexes.push("-answer"),
            Mutation::CountFullPages { .. } => indexes.push("+full page"),
            Mutation::CountPage { .. } | Mutation::PutCounters(_) => {}
        }
    }
    if !indexes.is_empty() {
        lines.push(format!("indexes: {}", indexes.join(" ")));
    }
    lines
}

fn told_record(version: &PersonVersion) -> Vec<String> {
    let data = &version.data;
    let mut items = vec![
        data.name.full(),
        format!("born {}", data.birth_date),
        data.sex.label().to_owned(),
    ];
    if let Some(cmnd) = &data.cmnd {
        items.push(format!("card {}", cmnd.as_str()));
    }
    let stay = data.temporary_residence.as_ref().map(TemporaryStay::place);
    for (word, place) in [
        ("registered at", Some(&data.birth_registration_place)),
        ("native of", Some(&data.native_place)),
        ("lives at", Some(&data.permanent_residence)),
        ("now at", Some(&data.current_residence)),
        ("temporarily at", stay),
    ] {
        if let Some(place) = place.filter(|place| !place.is_empty()) {
            items.push(format!("{word} {}", told_place(place)));
        }
    }
    if let Some(death) = &version.death {
        items.push(format!("{} {}", death.kind.label(), death.date));
    }
    let from = &version.provenance;
    vec![
        format!("record: {}", items.join(", ")),
        format!(
            "source: {}, {}, {} {}, office {}, by {}{}",
            from.command,
            from.legal_basis.label(),
            from.document.kind.label(),
            from.document.number.as_str(),
            from.office.as_str(),
            from.actor.principal.as_str(),
            from.reason
                .as_ref()
                .map(|reason| format!(", because: {}", reason.as_str()))
                .unwrap_or_default()
        ),
    ]
}

fn told_place(place: &Place) -> String {
    if let Some(country) = place.country {
        return country.as_str().to_owned();
    }
    let codes = [
        place.province.as_ref().map(ProvinceCode::as_str),
        place.district.as_ref().map(DistrictCode::as_str),
        place.ward.as_ref().map(WardCode::as_str),
    ];
    let last = codes.iter().rposition(Option::is_some).unwrap_or_default();
    codes[..=last]
        .iter()
        .map(|code| code.unwrap_or("-"))
        .collect::<Vec<_>>()
        .join("/")
}

fn told_event(event: &Event) -> String {
    let (sequence, kind) = (event.sequence, event.kind.label());
    format!(
        "event: {sequence} {kind}, person {} version {}, log {}",
        event.person, event.version, event.log_index
    )
}

fn told_audit(audit: &AuditRecord) -> String {
    let decision = match &audit.decision {
        Decision::Accepted => "accepted",
        Decision::Replayed => "replayed",
        Decision::Rejected(name) => name,
    };
    let whose = match (audit.person, audit.version) {
        (Some(person), Some(version)) => format!(", person {person} version {version}"),
        (Some(person), None) => format!(", about person {person}"),
        (None, _) => String::new(),
    };
    let (principal, role) = (audit.actor.principal.as_str(), audit.actor.role.word());
    let at = format!("{}/{}", audit.position, audit.ordinal);
    format!(
        "audit: {at} {principal} ({role}) of {}: {} {decision}{whose}",
        audit.office.as_str(),
        audit.command
    )
}
