//! When all faults are over: everything converges, what was acknowledged is there, and the state agrees with itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use banyan_domain::{
    Command, Counters, Envelope, IdempotencyKey, NameKey, NodeId, PersonId, PersonVersion, PinPage,
    Position, VersionNumber, View as _, ViewFault,
};
use banyan_storage::schema;
use openraft_rt::AsyncRuntime as _;

use super::{
    clients::Acknowledged,
    disk::Image,
    invariants::Invariant,
    nation::Nation,
    node::Node,
    observer::Observer,
    runtime::{Simulated, now},
};

/// Waits until all members stand at one position; false when the time is over.
pub async fn converged(nation: &Nation, within: Duration) -> bool {
    let until = now() + within;
    loop {
        if let Some((_, registry)) = nation.leader() {
            let status = registry.status();
            let members: Vec<Option<Arc<Node>>> = status
                .members
                .keys()
                .map(|id| nation.node(id.get()))
                .collect();
            let last = status.last_log_index;
            let there = |node: &Option<Arc<Node>>| {
                node.as_ref()
                    .is_some_and(|node| Some(node.machine.state().index()) == last)
            };
            let votes = |id: &NodeId| status.members.get(id).is_some_and(|member| member.votes);
            let settled = !status.joint() && votes(&status.node);
            if settled && last.is_some() && members.iter().all(there) {
                return true;
            }
        }
        if now() > until {
            let what = format!("after {within:?} {}", stands(nation));
            nation.observer().violated(Invariant::Convergence, what);
            return false;
        }
        Simulated::sleep(Duration::from_millis(100)).await;
    }
}

/// Where every node stands, for a report.
pub(super) fn stands(nation: &Nation) -> String {
    let stands: Vec<String> = nation
        .living()
        .iter()
        .map(|node| {
            let says = node.registry().map(|registry| {
                let status = registry.status();
                let voters = status.members.iter().filter(|(_, member)| member.votes);
                let voters: Vec<u64> = voters.map(|(id, _)| id.get()).collect();
                format!(
                    "{} of term {}, voters {voters:?}, clock {:?}",
                    status.role.name(),
                    status.term,
                    registry.clock_verdict()
                )
            });
            let (id, index) = (node.id(), node.machine.state().index());
            format!("node {id} at {index}: {}", says.unwrap_or_default())
        })
        .collect();
    let leader = nation.leader().map(|(node, registry)| {
        let status = registry.status();
        let members: Vec<(u64, bool, Option<u64>)> = status
            .members
            .iter()
            .map(|(id, member)| (id.get(), member.votes, member.matched))
            .collect();
        (node.id(), status.last_log_index, status.joint(), members)
    });
    format!("leader {leader:?}, {}", stands.join("; "))
}

/// Holds the states of all members against what was acknowledged and against themselves.
pub fn check(nation: &Nation, acknowledged: &[Acknowledged]) {
    let observer = nation.observer();
    // All members stand at one position; whoever is further is one that was removed, or just added.
    let furthest = nation.living().into_iter();
    let Some(leader) = furthest.max_by_key(|node| node.machine.state().index()) else {
        observer.violated(Invariant::Convergence, "no node is left".to_owned());
        return;
    };
    let image = leader.machine.state();
    for node in nation.living() {
        let other = node.machine.state();
        if other.index() == image.index() && other.hash() != image.hash() {
            let what = format!(
                "nodes {} and {} at {}",
                leader.id(),
                node.id(),
                image.index()
            );
            observer.violated(Invariant::EqualPositionEqualDigest, what);
        }
    }
    if let Err(fault) = check_kept(observer, &image, acknowledged) {
        observer.violated(Invariant::AcknowledgedIsKept, fault.0);
    }
    if let Err(fault) = check_itself(observer, &image) {
        observer.violated(Invariant::IndexesAgree, fault.0);
    }
}

fn check_kept(
    observer: &Observer,
    image: &Image,
    acknowledged: &[Acknowledged],
) -> Result<(), ViewFault> {
    let view = image.view();
    let audited: BTreeSet<(Position, IdempotencyKey)> = view
        .audit_from(0, 0, usize::MAX)?
        .into_iter()
        .map(|audit| (audit.position, audit.key))
        .collect();
    for Acknowledged { envelope, outcome } in acknowledged {
        let key = &envelope.key;
        if !audited.contains(&(outcome.position, *key)) {
            let what = format!(
                "no audit record tells of the request at {}",
                outcome.position
            );
            observer.violated(Invariant::AcknowledgedIsKept, what);
        }
        let Ok(accepted) = &outcome.result else {
            continue;
        };
        let version = view.version_at(accepted.person, accepted.version)?;
        let kept = version.as_ref().is_some_and(|version| {
            version.key == *key
                && version.provenance.position == outcome.position
                && version.pin == accepted.pin
        });
        let leads = view.get_by_pin(&accepted.pin)?;
        if kept
            && let Some(field) = version
                .as_ref()
                .and_then(|version| altered(version, envelope))
        {
            let what = format!(
                "what was acknowledged at {} has another {field}",
                outcome.position
            );
            observer.violated(Invariant::AcknowledgedIsKept, what);
        }
        if let Command::RegisterBirth(_) = envelope.command
            && view.person_by_form(&envelope.head.form_key(None))? != Some(accepted.person)
        {
            let what = format!("the document of {} leads elsewhere", outcome.position);
            observer.violated(Invariant::IndexesAgree, what);
        }
        if !kept || leads.is_none_or(|version| version.person != accepted.person) {
            let what = format!(
                "what was acknowledged at {} is {}",
                outcome.position,
                if version.is_some() {
                    "another's"
                } else {
                    "not there"
                }
            );
            observer.violated(Invariant::AcknowledgedIsKept, what);
        }
    }
    Ok(())
}

/// What of a version is not as it was asked for; what it says, and not under which name it is stored.
fn altered(version: &PersonVersion, envelope: &Envelope) -> Option<&'static str> {
    let data = &version.data;
    let same = |field, same: bool| (!same).then_some(field);
    match &envelope.command {
        Command::RegisterBirth(birth) => same("name", data.name == birth.name)
            .or(same("sex", data.sex == birth.sex))
            .or(same(
                "place of birth",
                data.birth_registration_place == birth.birth_registration_place,
            ))
            .or(same("ethnicity", data.ethnicity == birth.ethnicity))
            .or(same("father", data.father == birth.father))
            .or(same("mother", data.mother == birth.mother)),
        Command::CorrectPerson(correction) => same("record", *data == correction.data),
        Command::RecordDeath(record) => {
            same("death", version.death.as_ref() == Some(&record.death))
        }
        Command::RegisterPerson(_) => None,
    }
}

/// Every record is in its indexes, every index leads to a record, and nothing has a gap.
fn check_itself(observer: &Observer, image: &Image) -> Result<(), ViewFault> {
    let view = image.view();
    let Counters {
        persons,
        next_event,
        keys,
        ..
    } = view.counters()?;
    let mut events = 0;
    let mut names = BTreeSet::new();
    let mut found = BTreeSet::new();
    let mut pages: BTreeMap<PinPage, u16> = BTreeMap::new();
    view.visit_pins(|pin, person| {
        *pages.entry(PinPage::of(&pin)).or_default() += 1;
        let newest = view.version(person)?.ok_or_else(|| {
            ViewFault(format!(
                "a number leads to person {person}, who is not there"
            ))
        })?;
        if newest.pin == pin {
            found.insert(person);
        }
        names.insert((
            person,
            schema::name_key(
                &NameKey::of(&newest.data.name, newest.data.birth_date),
                person,
            )
            .to_vec(),
        ));
        for version in 1..=newest.version.get() {
            if view.version_at(person, VersionNumber(version))?.is_none() {
                let what = format!("version {version} of person {person} is missing");
                observer.violated(Invariant::HistoryGapless, what);
            }
            events += 1;
        }
        Ok(())
    })?;
    let disagree = |what: String| observer.violated(Invariant::IndexesAgree, what);
    if found.len() as u64 != persons {
        disagree(format!(
            "{persons} persons are counted, {} found",
            found.len()
        ));
    }
    for (page, given_out) in &pages {
        let counted = view.used_in_page(page)?;
        if counted != *given_out {
            disagree(format!(
                "{counted} numbers of a page are counted, {given_out} given out"
            ));
        }
    }
    let indexed: BTreeSet<(PersonId, Vec<u8>)> = image
        .keys_with_tag(schema::NAME)
        .filter_map(|key| Some((schema::parse_name_key(&key)?, key)))
        .collect();
    if indexed != names {
        disagree(format!(
            "the index of names has {} entries that no record has, and lacks {}",
            indexed.difference(&names).count(),
            names.difference(&indexed).count()
        ));
    }
    let mut outcomes = 0;
    view.visit_outcomes(|_, _, _| {
        outcomes += 1;
        Ok(())
    })?;
    if outcomes != keys {
        disagree(format!("{keys} keys are counted, {outcomes} found"));
    }
    let listed = view.events_from(banyan_domain::EventSequence(0), usize::MAX)?;
    let gapless = listed
        .iter()
        .zip(listed.iter().skip(1))
        .all(|(one, next)| one.sequence.get() + 1 == next.sequence.get());
    if !gapless
        || listed.len() as u64 != events
        || listed
            .last()
            .is_some_and(|last| last.sequence.get() + 1 != next_event)
    {
        let what = format!(
            "{events} versions, {} events up to {next_event}, {}",
            listed.len(),
            if gapless { "without gaps" } else { "with gaps" }
        );
        observer.violated(Invariant::HistoryGapless, what);
    }
    Ok(())
}
