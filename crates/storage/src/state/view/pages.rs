//! Reads of many records, piece by piece: whoever asks says when it has enough.

use banyan_domain::{PersonId, PersonVersion, VersionNumber, ViewFault};
use banyan_wire::record;
use rocksdb::ReadOptions;

use super::{ReadView, fault, open};
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
        let mut iterator = reader.snapshot.raw_iterator_cf_opt(reader.records, options);
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
}
