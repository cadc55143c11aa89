//! Keys of the state database. Every key begins with its tag; tags are never reused.
//!
//! All numbers are big endian, so that byte order is number order. Every value is sealed by the [codec](crate::codec) as
//! [`Kind::StateValue`](crate::codec::Kind::StateValue) under its key. Messages are those of `banyan.internal.v1` in `proto/`.
//!
//! | tag | family | record | key after the tag | value |
//! |---|---|---|---|---|
//! | 0x01 | markers | META applied | 0x01 | term 8, index 8, time in ms 8 |
//! | | | META membership | 0x02 | bytes of the consensus crate |
//! | | | META counters | 0x03 | next person 8, next event 8, persons 8, last time in ms 8, stored keys 8, first of them 16 (zero: none) |
//! | 0x10 | versions | VERSION | person 8, complement of the version 4 (newest first) | `StoredVersion` |
//! | 0x11 | events | EVENT | sequence 8 | `StoredEvent` |
//! | 0x12 | audit | AUDIT | log index 8, ordinal in the entry 4 | `StoredAudit` |
//! | 0x20 | indexes | PIN | the 12 digits as a number 5 | person 8 |
//! | 0x21 | indexes | CMND | the 9 digits as a number 4 | person 8 |
//! | 0x22 | indexes | FORM | document kind 1, length of the area 1, area, length of the office 2, office, number | person 8 |
//! | 0x23 | indexes | NAME | BLAKE3 of search name and birth date 8, person 8 | empty |
//! | 0x28 | indexes | PAGE | the 6 digits of the bucket as a number 3, page 1 | numbers given out 2 |
//! | 0x29 | indexes | FULL_PAGES | the 6 digits of the bucket as a number 3 | pages without a free number 2 |
//! | 0x2a | indexes | KEY | idempotency key 16 (a UUIDv7: in the order of time), principal | `StoredOutcome` |
//! | 0x2f | indexes | RAW_VALUE | the caller's key | the caller's value; in clusters of the bench only |
//!
//! Reserved: 0x02 to 0x0f further markers (feature level, roles); 0x13 cards, 0x14 requests, 0x15 residence files,
//! 0x16 subscriptions; 0x25 residence file numbers, 0x26 card numbers, 0x27 units to persons; 0x30 to 0x3f sealing keys' epochs.
//! 0x24 was the outcome under a key before keys expired. Families do not share tags, and stand
//! in the order of their tags: the digest runs over them one after another, and so over all keys in order.

use banyan_domain::{
    AreaCode, Cmnd, EventSequence, FormKey, IdempotencyKey, NameKey, PersonId, Pin, PinBucket,
    PinPage, Principal, ProvinceCode, VersionNumber,
};

/// The column families, in the order of their tags.
///
/// Each kind of key that grows has a family of its own: in one that they share, every flushed file would span the keys of all of them and
/// overlap every other file, and compaction would write everything again and again instead of moving files that it need not open (ADR 0029).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// What is rewritten with every group: position, membership, counters.
    Markers,
    /// Versions of persons: keys that grow while persons are registered; a correction puts one among those of its person.
    Versions,
    /// Events, by sequence: keys that only grow.
    Events,
    /// Audit records, by position: keys that only grow.
    Audit,
    /// What leads to a person or an outcome: keys in no order, with filters for absent ones.
    Indexes,
}

impl Family {
    /// All of them, in the order of their tags.
    pub const ALL: [Self; 5] = [
        Self::Markers,
        Self::Versions,
        Self::Events,
        Self::Audit,
        Self::Indexes,
    ];

    /// Its name in RocksDB.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Markers => "markers",
            Self::Versions => "versions",
            Self::Events => "events",
            Self::Audit => "audit",
            Self::Indexes => "indexes",
        }
    }
}

/// Tag of the markers.
pub const META: u8 = 0x01;
/// Tag of a version of a person's record.
pub const VERSION: u8 = 0x10;
/// Tag of an event.
pub const EVENT: u8 = 0x11;
/// Tag of an audit record.
pub const AUDIT: u8 = 0x12;
/// Tag of a personal identification number.
pub const PIN: u8 = 0x20;
/// Tag of a 9-digit identity card number.
pub const CMND: u8 = 0x21;
/// Tag of a source document.
pub const FORM: u8 = 0x22;
/// Tag of a name with a birth date.
pub const NAME: u8 = 0x23;
/// Tag of the count of numbers given out in a page of a bucket.
pub const PAGE: u8 = 0x28;
/// Tag of the count of full pages of a bucket.
pub const FULL_PAGES: u8 = 0x29;

/// Tag of the first outcome under an idempotency key.
pub const KEY: u8 = 0x2a;

/// Tag of a raw value, which clusters of the bench alone hold.
pub const RAW_VALUE: u8 = 0x2f;

/// Key of the applied position.
pub const APPLIED_KEY: [u8; 2] = [META, 0x01];
/// Key of the membership.
pub const MEMBERSHIP_KEY: [u8; 2] = [META, 0x02];
/// Key of the counters.
pub const COUNTERS_KEY: [u8; 2] = [META, 0x03];

/// Key of a version.
#[must_use]
pub fn version_key(person: PersonId, version: VersionNumber) -> [u8; 13] {
    let mut key = [VERSION; 13];
    key[1..9].copy_from_slice(&person.get().to_be_bytes());
    key[9..].copy_from_slice(&(!version.get()).to_be_bytes());
    key
}

/// The person and the version in a version's key.
#[must_use]
pub fn parse_version_key(key: &[u8]) -> Option<(PersonId, VersionNumber)> {
    let key: &[u8; 13] = key.try_into().ok()?;
    let (tag, rest) = key.split_first()?;
    let (person, version) = rest.split_first_chunk::<8>()?;
    let version: [u8; 4] = version.try_into().ok()?;
    (*tag == VERSION).then(|| {
        (
            PersonId(u64::from_be_bytes(*person)),
            VersionNumber(!u32::from_be_bytes(version)),
        )
    })
}

/// Key of an event.
#[must_use]
pub fn event_key(sequence: EventSequence) -> [u8; 9] {
    tagged_u64(EVENT, sequence.get())
}

/// The sequence in an event's key.
#[must_use]
pub fn parse_event_key(key: &[u8]) -> Option<EventSequence> {
    match key.split_first()? {
        (&EVENT, sequence) => Some(EventSequence(u64::from_be_bytes(sequence.try_into().ok()?))),
        _ => None,
    }
}

/// Key of an audit record: the log index of its entry and its ordinal there.
#[must_use]
pub fn audit_key(index: u64, ordinal: u32) -> [u8; 13] {
    let mut key = [AUDIT; 13];
    key[1..9].copy_from_slice(&index.to_be_bytes());
    key[9..].copy_from_slice(&ordinal.to_be_bytes());
    key
}

/// The log index and the ordinal in an audit record's key.
#[must_use]
pub fn parse_audit_key(key: &[u8]) -> Option<(u64, u32)> {
    match key.split_first()? {
        (&AUDIT, rest) => {
            let (index, ordinal) = rest.split_first_chunk::<8>()?;
            Some((
                u64::from_be_bytes(*index),
                u32::from_be_bytes(ordinal.try_into().ok()?),
            ))
        }
        _ => None,
    }
}

/// Key of a personal identification number.
#[must_use]
pub fn pin_key(pin: &Pin) -> [u8; 6] {
    pin_number_key(decimal(pin.as_bytes()))
}

/// Key that the number with this serial (0 to 999,999) in a bucket has; serial 1,000,000 gives the end of the bucket.
#[must_use]
pub fn pin_bucket_key(bucket: &PinBucket, serial: u32) -> [u8; 6] {
    pin_number_key(decimal(&bucket.digits()) * 1_000_000 + u64::from(serial))
}

/// Where the numbers that open with a province begin, and the key after them; without a province, those of all numbers.
#[must_use]
pub fn pin_range(province: Option<ProvinceCode>) -> [[u8; 6]; 2] {
    let numbers = match province {
        // A zero, the two digits of the province, and nine more.
        Some(province) => {
            let code = decimal(province.as_str().as_bytes());
            [code, code + 1].map(|code| code * 1_000_000_000)
        }
        None => [0, 1_000_000_000_000],
    };
    numbers.map(pin_number_key)
}

/// Key of the number that follows this one.
#[must_use]
pub fn pin_key_after(pin: &Pin) -> [u8; 6] {
    pin_number_key(decimal(pin.as_bytes()) + 1)
}

/// The number in a PIN's key.
#[must_use]
pub fn parse_pin_key(key: &[u8]) -> Option<u64> {
    match key.split_first()? {
        (&PIN, number) if number.len() == 5 => Some(
            number
                .iter()
                .fold(0, |number, byte| number << 8 | u64::from(*byte)),
        ),
        _ => None,
    }
}

/// Key of the count of numbers given out in a page.
#[must_use]
pub fn page_key(page: &PinPage) -> [u8; 5] {
    let mut key = [PAGE; 5];
    key[1..4].copy_from_slice(&bucket_number(&page.bucket()));
    key[4] = page.index();
    key
}

/// Key of the count of full pages of a bucket.
#[must_use]
pub fn full_pages_key(bucket: &PinBucket) -> [u8; 4] {
    let mut key = [FULL_PAGES; 4];
    key[1..].copy_from_slice(&bucket_number(bucket));
    key
}

/// Key of a 9-digit identity card number.
#[must_use]
pub fn cmnd_key(cmnd: &Cmnd) -> [u8; 5] {
    let mut key = [CMND; 5];
    // Nine digits fit 32 bits.
    key[1..].copy_from_slice(&decimal(cmnd.as_bytes()).to_be_bytes()[4..]);
    key
}

/// Key of a source document.
#[must_use]
pub fn form_key(form: &FormKey) -> Vec<u8> {
    let area = form.area.as_ref().map_or("", AreaCode::as_str).as_bytes();
    let office = form.office.as_str().as_bytes();
    let number = form.number.as_str().as_bytes();
    let mut key = Vec::with_capacity(5 + area.len() + office.len() + number.len());
    key.push(FORM);
    key.push(form.kind.code().to_le_bytes()[0]);
    // Five digits at most; none for the centre.
    key.push(area.len().to_le_bytes()[0]);
    key.extend_from_slice(area);
    key.extend_from_slice(&length(office));
    key.extend_from_slice(office);
    key.extend_from_slice(number);
    key
}

/// Key of a person under a name with a birth date.
#[must_use]
pub fn name_key(name: &NameKey, person: PersonId) -> [u8; 17] {
    let mut key = [NAME; 17];
    key[1..9].copy_from_slice(&name.0);
    key[9..].copy_from_slice(&person.get().to_be_bytes());
    key
}

/// The person in a key of [`name_key`].
#[must_use]
pub fn parse_name_key(key: &[u8]) -> Option<PersonId> {
    let key: &[u8; 17] = key.try_into().ok()?;
    (key[0] == NAME).then(|| {
        PersonId(u64::from_be_bytes([
            key[9], key[10], key[11], key[12], key[13], key[14], key[15], key[16],
        ]))
    })
}

/// Key of the first outcome under an idempotency key of a principal. The idempotency key comes first, so that the oldest stand in
/// front and new ones behind all others, whoever made them: they are dropped from the front, and compaction finds them together.
#[must_use]
pub fn outcome_key(idempotency_key: &IdempotencyKey, principal: &Principal) -> Vec<u8> {
    let principal = principal.as_str().as_bytes();
    let mut key = Vec::with_capacity(17 + principal.len());
    key.push(KEY);
    key.extend_from_slice(idempotency_key.as_bytes());
    key.extend_from_slice(principal);
    key
}

/// Where the outcomes under this idempotency key and those made later begin.
#[must_use]
pub fn outcomes_from(idempotency_key: &IdempotencyKey) -> [u8; 17] {
    let mut key = [KEY; 17];
    key[1..].copy_from_slice(idempotency_key.as_bytes());
    key
}

/// The idempotency key and the principal in a key of [`outcome_key`].
#[must_use]
pub fn parse_outcome_key(key: &[u8]) -> Option<(IdempotencyKey, Principal)> {
    let (&tag, rest) = key.split_first()?;
    let (idempotency_key, principal) = rest.split_first_chunk::<16>()?;
    let idempotency_key = IdempotencyKey::parse(idempotency_key).ok()?;
    let principal = Principal::new(std::str::from_utf8(principal).ok()?).ok()?;
    (tag == KEY).then_some((idempotency_key, principal))
}

/// Key of a raw value.
#[must_use]
pub fn raw_value_key(key: &[u8]) -> Vec<u8> {
    let mut tagged = Vec::with_capacity(1 + key.len());
    tagged.push(RAW_VALUE);
    tagged.extend_from_slice(key);
    tagged
}

fn tagged_u64(tag: u8, number: u64) -> [u8; 9] {
    let mut key = [tag; 9];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

fn pin_number_key(number: u64) -> [u8; 6] {
    let mut key = [PIN; 6];
    // Twelve digits fit 40 bits.
    key[1..].copy_from_slice(&number.to_be_bytes()[3..]);
    key
}

/// The six digits of a bucket in 24 bits.
fn bucket_number(bucket: &PinBucket) -> [u8; 3] {
    let [.., high, middle, low] = decimal(&bucket.digits()).to_be_bytes();
    [high, middle, low]
}

/// The value of ASCII digits.
fn decimal(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |number, digit| {
        number * 10 + u64::from(digit.wrapping_sub(b'0'))
    })
}

/// The length of a text in a key. The domain bounds every text far below 65,535 bytes.
fn length(text: &[u8]) -> [u8; 2] {
    u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes()
}
