//! The state in memory: pending changes of a batch laid over a view, and a whole registry for models and tests.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::audit::AuditRecord;
use crate::event::Event;
use crate::idempotency::IdempotencyKey;
use crate::ids::{PersonId, Timestamp, VersionNumber};
use crate::name::NameKey;
use crate::outcome::StoredOutcome;
use crate::page::PinPage;
use crate::person::PersonVersion;
use crate::pin::{Cmnd, Pin, PinBucket};
use crate::provenance::{FormKey, Principal};
use crate::transition::Mutation;
use crate::view::{Counters, View, ViewFault};

/// What a list of mutations says about the keys it touched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Changes {
    versions: BTreeMap<(PersonId, VersionNumber), Box<PersonVersion>>,
    pins: BTreeMap<Pin, PersonId>,
    pages: BTreeMap<PinPage, u16>,
    full_pages: BTreeMap<PinBucket, u16>,
    cmnds: BTreeMap<Cmnd, Option<PersonId>>,
    forms: BTreeMap<FormKey, PersonId>,
    /// None: dropped.
    outcomes: BTreeMap<IdempotencyKey, BTreeMap<Principal, Option<Box<StoredOutcome>>>>,
    counters: Option<Counters>,
}

impl Changes {
    fn absorb(&mut self, mutation: Mutation) {
        match mutation {
            Mutation::PutVersion(version) => {
                self.versions
                    .insert((version.person, version.version), version);
            }
            Mutation::BindPin { pin, person } => {
                self.pins.insert(pin, person);
            }
            Mutation::CountPage { page, used } => {
                self.pages.insert(page, used);
            }
            Mutation::CountFullPages { bucket, pages } => {
                self.full_pages.insert(bucket, pages);
            }
            Mutation::BindCmnd { cmnd, person } => {
                self.cmnds.insert(cmnd, Some(person));
            }
            Mutation::UnbindCmnd { cmnd } => {
                self.cmnds.insert(cmnd, None);
            }
            Mutation::BindForm { form, person } => {
                self.forms.insert(form, person);
            }
            Mutation::PutOutcome {
                principal,
                key,
                stored,
            } => {
                self.outcomes
                    .entry(key)
                    .or_default()
                    .insert(principal, Some(stored));
            }
            Mutation::DropOutcome { principal, key } => {
                self.outcomes
                    .entry(key)
                    .or_default()
                    .insert(principal, None);
            }
            Mutation::PutCounters(counters) => self.counters = Some(counters),
            // Apply reads none of these.
            Mutation::IndexName { .. }
            | Mutation::UnindexName { .. }
            | Mutation::AppendEvent(_)
            | Mutation::AppendAudit(_) => {}
        }
    }

    fn newest(&self, person: PersonId) -> Option<&PersonVersion> {
        let versions = (person, VersionNumber(0))..=(person, VersionNumber(u32::MAX));
        let (_, newest) = self.versions.range(versions).next_back()?;
        Some(newest)
    }

    fn version_at(&self, person: PersonId, version: VersionNumber) -> Option<&PersonVersion> {
        self.versions.get(&(person, version)).map(AsRef::as_ref)
    }

    /// What stands under the key; none inside if it was dropped, none outside if it was not touched.
    fn outcome(
        &self,
        principal: &Principal,
        key: &IdempotencyKey,
    ) -> Option<Option<&StoredOutcome>> {
        let stored = self.outcomes.get(key)?.get(principal)?;
        Some(stored.as_ref().map(AsRef::as_ref))
    }

    /// Keys from `from` on, in order, each with whether its outcome was dropped.
    fn keys_from(
        &self,
        from: IdempotencyKey,
    ) -> impl Iterator<Item = (IdempotencyKey, &Principal, bool)> {
        self.outcomes.range(from..).flat_map(|(key, outcomes)| {
            let each = outcomes.iter();
            each.map(|(principal, stored)| (*key, principal, stored.is_none()))
        })
    }
}

/// A view with the pending mutations of a batch on top, so that a command sees what its neighbours before it did.
///
/// Any grouping of the same log into batches gives the same bytes: that is the contract with the store.
#[derive(Debug)]
pub struct OverlayView<'a, V> {
    base: &'a V,
    changes: Changes,
}

impl<'a, V: View> OverlayView<'a, V> {
    /// A view without changes yet.
    pub fn new(base: &'a V) -> Self {
        Self {
            base,
            changes: Changes::default(),
        }
    }

    /// Lays the mutations of one transition on top.
    pub fn absorb(&mut self, mutations: impl IntoIterator<Item = Mutation>) {
        for mutation in mutations {
            self.changes.absorb(mutation);
        }
    }
}

impl<V: View> View for OverlayView<'_, V> {
    fn version(&self, person: PersonId) -> Result<Option<PersonVersion>, ViewFault> {
        match self.changes.newest(person) {
            Some(version) => Ok(Some(version.clone())),
            None => self.base.version(person),
        }
    }

    fn version_at(
        &self,
        person: PersonId,
        version: VersionNumber,
    ) -> Result<Option<PersonVersion>, ViewFault> {
        match self.changes.version_at(person, version) {
            Some(version) => Ok(Some(version.clone())),
            None => self.base.version_at(person, version),
        }
    }

    fn person_by_pin(&self, pin: &Pin) -> Result<Option<PersonId>, ViewFault> {
        match self.changes.pins.get(pin) {
            Some(person) => Ok(Some(*person)),
            None => self.base.person_by_pin(pin),
        }
    }

    fn person_by_cmnd(&self, cmnd: &Cmnd) -> Result<Option<PersonId>, ViewFault> {
        match self.changes.cmnds.get(cmnd) {
            Some(person) => Ok(*person),
            None => self.base.person_by_cmnd(cmnd),
        }
    }

    fn person_by_form(&self, form: &FormKey) -> Result<Option<PersonId>, ViewFault> {
        match self.changes.forms.get(form) {
            Some(person) => Ok(Some(*person)),
            None => self.base.person_by_form(form),
        }
    }

    fn outcome(
        &self,
        principal: &Principal,
        key: &IdempotencyKey,
    ) -> Result<Option<StoredOutcome>, ViewFault> {
        match self.changes.outcome(principal, key) {
            Some(stored) => Ok(stored.cloned()),
            None => self.base.outcome(principal, key),
        }
    }

    fn stored_keys(
        &self,
        from: IdempotencyKey,
        until: Timestamp,
        count_max: usize,
    ) -> Result<Vec<(IdempotencyKey, Principal)>, ViewFault> {
        let dropped: BTreeSet<_> = self
            .changes
            .keys_from(from)
            .filter(|(.., gone)| *gone)
            .collect();
        // However many of the first keys were dropped here, enough others are among these.
        let base = self
            .base
            .stored_keys(from, until, count_max.saturating_add(dropped.len()))?;
        let mut keys: BTreeSet<_> = base
            .into_iter()
            .filter(|(key, principal)| !dropped.contains(&(*key, principal, true)))
            .collect();
        let pending = self.changes.keys_from(from).filter(|(.., gone)| !*gone);
        let pending = pending.map(|(key, principal, _)| (key, principal.clone()));
        keys.extend(first_keys(pending, until, count_max));
        Ok(first_keys(keys.into_iter(), until, count_max))
    }

    fn used_in_page(&self, page: &PinPage) -> Result<u16, ViewFault> {
        match self.changes.pages.get(page) {
            Some(used) => Ok(*used),
            None => self.base.used_in_page(page),
        }
    }

    fn full_pages(&self, bucket: &PinBucket) -> Result<u16, ViewFault> {
        match self.changes.full_pages.get(bucket) {
            Some(pages) => Ok(*pages),
            None => self.base.full_pages(bucket),
        }
    }

    fn first_free_serial(
        &self,
        bucket: &PinBucket,
        serials: Range<u32>,
    ) -> Result<Option<u32>, ViewFault> {
        // Each round that does not end here passes one pending number, and none is met twice.
        let mut rest = serials;
        while let Some(serial) = self.base.first_free_serial(bucket, rest.clone())? {
            let pin = Pin::in_bucket(*bucket, serial);
            if !self.changes.pins.contains_key(&pin) {
                return Ok(Some(serial));
            }
            rest.start = serial + 1;
        }
        Ok(None)
    }

    fn counters(&self) -> Result<Counters, ViewFault> {
        match self.changes.counters {
            Some(counters) => Ok(counters),
            None => self.base.counters(),
        }
    }
}

/// The keys made before `until` and the first that was not; at most `count_max`.
fn first_keys(
    keys: impl Iterator<Item = (IdempotencyKey, Principal)>,
    until: Timestamp,
    count_max: usize,
) -> Vec<(IdempotencyKey, Principal)> {
    let mut first = Vec::new();
    for key in keys.take(count_max) {
        let last = key.0.made() >= until;
        first.push(key);
        if last {
            break;
        }
    }
    first
}

/// A whole registry in memory: the reference model that stores are compared with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryView {
    changes: Changes,
    names: BTreeSet<(NameKey, PersonId)>,
    events: Vec<Event>,
    audit: Vec<AuditRecord>,
}

impl MemoryView {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Carries out mutations.
    pub fn absorb(&mut self, mutations: impl IntoIterator<Item = Mutation>) {
        for mutation in mutations {
            match &mutation {
                Mutation::DropOutcome { principal, key } => {
                    self.drop_outcome(principal, key);
                    continue;
                }
                Mutation::IndexName { key, person } => {
                    self.names.insert((*key, *person));
                }
                Mutation::UnindexName { key, person } => {
                    self.names.remove(&(*key, *person));
                }
                Mutation::AppendEvent(event) => self.events.push(*event),
                Mutation::AppendAudit(record) => self.audit.push(record.as_ref().clone()),
                _ => {}
            }
            self.changes.absorb(mutation);
        }
    }

    /// All versions of a person, oldest first.
    pub fn history(&self, person: PersonId) -> impl Iterator<Item = &PersonVersion> {
        self.changes
            .versions
            .range((person, VersionNumber(0))..=(person, VersionNumber(u32::MAX)))
            .map(|(_, version)| version.as_ref())
    }

    /// All versions of all persons, in the order of person and version.
    pub fn versions(&self) -> impl Iterator<Item = &PersonVersion> {
        self.changes.versions.values().map(AsRef::as_ref)
    }

    /// Persons whose newest version has this name and birth date, as far as the key tells.
    pub fn by_name(&self, key: NameKey) -> impl Iterator<Item = PersonId> {
        self.names
            .range((key, PersonId(0))..=(key, PersonId(u64::MAX)))
            .map(|(_, person)| *person)
    }

    /// All events.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// All audit records.
    #[must_use]
    pub fn audit(&self) -> &[AuditRecord] {
        &self.audit
    }

    /// Outcomes that are stored under idempotency keys.
    pub fn outcomes(&self) -> impl Iterator<Item = (IdempotencyKey, &Principal, &StoredOutcome)> {
        self.changes.outcomes.iter().flat_map(|(key, outcomes)| {
            let each = outcomes.iter();
            each.filter_map(|(principal, stored)| Some((*key, principal, stored.as_deref()?)))
        })
    }

    fn drop_outcome(&mut self, principal: &Principal, key: &IdempotencyKey) {
        if let Some(outcomes) = self.changes.outcomes.get_mut(key) {
            outcomes.remove(principal);
            if outcomes.is_empty() {
                self.changes.outcomes.remove(key);
            }
        }
    }
}

impl View for MemoryView {
    fn version(&self, person: PersonId) -> Result<Option<PersonVersion>, ViewFault> {
        Ok(self.changes.newest(person).cloned())
    }

    fn version_at(
        &self,
        person: PersonId,
        version: VersionNumber,
    ) -> Result<Option<PersonVersion>, ViewFault> {
        Ok(self.changes.version_at(person, version).cloned())
    }

    fn person_by_pin(&self, pin: &Pin) -> Result<Option<PersonId>, ViewFault> {
        Ok(self.changes.pins.get(pin).copied())
    }

    fn person_by_cmnd(&self, cmnd: &Cmnd) -> Result<Option<PersonId>, ViewFault> {
        Ok(self.changes.cmnds.get(cmnd).copied().flatten())
    }

    fn person_by_form(&self, form: &FormKey) -> Result<Option<PersonId>, ViewFault> {
        Ok(self.changes.forms.get(form).copied())
    }

    fn outcome(
        &self,
        principal: &Principal,
        key: &IdempotencyKey,
    ) -> Result<Option<StoredOutcome>, ViewFault> {
        Ok(self.changes.outcome(principal, key).flatten().cloned())
    }

    fn stored_keys(
        &self,
        from: IdempotencyKey,
        until: Timestamp,
        count_max: usize,
    ) -> Result<Vec<(IdempotencyKey, Principal)>, ViewFault> {
        let keys = self.changes.keys_from(from);
        let keys = keys.map(|(key, principal, _)| (key, principal.clone()));
        Ok(first_keys(keys, until, count_max))
    }

    fn used_in_page(&self, page: &PinPage) -> Result<u16, ViewFault> {
        Ok(self.changes.pages.get(page).copied().unwrap_or_default())
    }

    fn full_pages(&self, bucket: &PinBucket) -> Result<u16, ViewFault> {
        let pages = self.changes.full_pages.get(bucket);
        Ok(pages.copied().unwrap_or_default())
    }

    fn first_free_serial(
        &self,
        bucket: &PinBucket,
        mut serials: Range<u32>,
    ) -> Result<Option<u32>, ViewFault> {
        let pins = &self.changes.pins;
        Ok(serials.find(|serial| !pins.contains_key(&Pin::in_bucket(*bucket, *serial))))
    }

    fn counters(&self) -> Result<Counters, ViewFault> {
        Ok(self.changes.counters.unwrap_or_default())
    }
}
