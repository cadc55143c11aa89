//! Reads of many records, piece by piece: whoever asks says when it has enough.

use banyan_domain::{PersonId, PersonVersion, Pin, ProvinceCode, VersionNumber, ViewFault};
use banyan_wire::record;
use rocksdb::{DBRawIterator, ReadOptions};

use super::{ReadView, decode_person, decode_pin, fault};
use crate::state::generation::Reader;
use crate::state::records::open;
use crate::state::schema;

impl ReadView {
    /// Calls `visit` with the versions of a person that follow version `after`, oldest first, until it returns false. After version 0
    /// stands the first one. Nothing is visited of a person that is not there.
    ///
    /// # Errors
    /// [`ViewFault`].
    pub fn visit_history(
        &self,
        person: PersonId,
        after: VersionNumber,
        mut visit: impl FnMut(PersonVersion) -> bool,
    ) -> Result<(), ViewFault> {
        let Some(first) = after.get().checked_add(1) else {
            return Ok(());
        };
        let reader = self.reader();
        // The keys stand newest first: oldest first is backwards, and no version has a smaller key than the newest possible one.
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(schema::version_key(person, VersionNumber(u32::MAX)));
        let mut iterator = reader
            .snapshot
            .raw_iterator_cf_opt(reader.versions, options);
        iterator.seek_for_prev(schema::version_key(person, VersionNumber(first)));
        while let Some((key, value)) = iterator.item() {
            let (person, version) = schema::parse_version_key(key)
                .ok_or_else(|| fault("a VERSION key has a wrong length"))?;
            let version =
                record::decode_version(person, version, open(key, value)?).map_err(fault)?;
            if !visit(version) {
                return Ok(());
            }
            iterator.prev();
        }
        iterator.status().map_err(|error| fault(error.to_string()))
    }

    /// Calls `visit` with the newest version of each person who has, or ever had, one of these numbers, in the order given and with none
    /// for a number that nobody has, until it returns false. Cheaper than as many look-ups.
    ///
    /// # Errors
    /// [`ViewFault`]; an index entry without a person is one.
    pub fn visit_by_pins(
        &self,
        pins: &[Pin],
        mut visit: impl FnMut(Option<PersonVersion>) -> bool,
    ) -> Result<(), ViewFault> {
        let reader = self.reader();
        let keys: Vec<[u8; 6]> = pins.iter().map(schema::pin_key).collect();
        let found =
            reader
                .db
                .batched_multi_get_cf_opt(reader.indexes, &keys, false, &reader.options);
        let mut newest = Newest::of(reader, true);
        for (key, value) in keys.iter().zip(found) {
            let value = value.map_err(|error| fault(error.to_string()))?;
            let person = value
                .map(|value| newest.version(decode_person(open(key, &value)?)?))
                .transpose()?;
            if !visit(person) {
                break;
            }
        }
        Ok(())
    }

    /// Calls `visit` with numbers and the newest version of each one's person, in the order of the numbers, until it returns false: all
    /// numbers that open with the province, or all numbers without one, after the number given. A person who has had several numbers
    /// is visited at each; the version says which one holds.
    ///
    /// # Errors
    /// [`ViewFault`]; an index entry without a person is one.
    pub fn visit_persons(
        &self,
        province: Option<ProvinceCode>,
        after: Option<&Pin>,
        mut visit: impl FnMut(&Pin, PersonVersion) -> bool,
    ) -> Result<(), ViewFault> {
        let reader = self.reader();
        let [first, end] = schema::pin_range(province);
        let from = after.map_or(first, |pin| schema::pin_key_after(pin).max(first));
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(end);
        // Who goes through the registry once must not drive from the cache what everybody else reads again and again.
        options.fill_cache(false);
        let mut newest = Newest::of(reader, false);
        let mut iterator = reader.snapshot.raw_iterator_cf_opt(reader.indexes, options);
        iterator.seek(from);
        while let Some((key, value)) = iterator.item() {
            let version = newest.version(decode_person(open(key, value)?)?)?;
            if !visit(&decode_pin(key)?, version) {
                return Ok(());
            }
            iterator.next();
        }
        iterator.status().map_err(|error| fault(error.to_string()))
    }
}

/// Newest versions, one after another. An iterator that is moved costs less than one for each person.
struct Newest<'a>(DBRawIterator<'a>);

impl<'a> Newest<'a> {
    fn of(reader: &'a Reader<'a>, fill_cache: bool) -> Self {
        let mut options = ReadOptions::default();
        options.fill_cache(fill_cache);
        options.set_iterate_upper_bound([schema::VERSION + 1]);
        let iterator = reader
            .snapshot
            .raw_iterator_cf_opt(reader.versions, options);
        Self(iterator)
    }

    /// The newest version of a person to whom an index leads.
    fn version(&mut self, person: PersonId) -> Result<PersonVersion, ViewFault> {
        let iterator = &mut self.0;
        iterator.seek(schema::version_key(person, VersionNumber(u32::MAX)));
        let found = match iterator.item() {
            None => None,
            Some((key, value)) => schema::parse_version_key(key)
                .filter(|(owner, _)| *owner == person)
                .map(|(_, version)| {
                    record::decode_version(person, version, open(key, value)?).map_err(fault)
                }),
        };
        iterator
            .status()
            .map_err(|error| fault(error.to_string()))?;
        found.unwrap_or_else(|| {
            Err(fault(format!(
                "an index leads to person {person}, who is not there"
            )))
        })
    }
}
