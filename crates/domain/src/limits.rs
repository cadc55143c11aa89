//! Bounds that all replicas must agree on; they are part of the replicated contract and therefore not configuration.

/// Characters in a whole name (family, middle, given and the spaces between), after NFC. The live look-up service of the
/// national database takes 100.
pub const NAME_CHARS_MAX: usize = 100;

/// Characters in one part of a name, after NFC.
pub const NAME_PART_CHARS_MAX: usize = 60;

/// Characters in a part of a name or in a text before normalisation: longer input is refused before work is done on it.
pub const RAW_TEXT_CHARS_MAX: usize = 1_000;

/// Combining marks that may follow one letter in a name after NFC. Vietnamese needs none, other scripts up to three.
pub const COMBINING_RUN_MAX: usize = 4;

/// Characters in the detail of a place (street, hamlet, hospital).
pub const PLACE_DETAIL_CHARS_MAX: usize = 200;

/// Characters in the number of a source document.
pub const DOCUMENT_NUMBER_CHARS_MAX: usize = 40;

/// Characters in the code of an office (Decision 20/2020/QD-TTg gives agency codes of at most 35).
pub const OFFICE_CHARS_MAX: usize = 35;

/// Characters in the name of a principal.
pub const PRINCIPAL_CHARS_MAX: usize = 80;

/// Characters in the reason of a correction.
pub const REASON_CHARS_MAX: usize = 500;

/// Characters in the purpose of a read.
pub const PURPOSE_CHARS_MAX: usize = 100;

/// Characters in the number of a household (residence file number).
pub const HOUSEHOLD_NUMBER_CHARS_MAX: usize = 40;

/// Characters in the words of a relation that is none of the listed.
pub const RELATION_TEXT_CHARS_MAX: usize = 60;

/// Members named in a household.
pub const HOUSEHOLD_MEMBERS_MAX: usize = 50;

/// Nationalities of one person.
pub const NATIONALITIES_MAX: usize = 3;

/// Findings kept with one version.
pub const FINDINGS_MAX: usize = 64;

/// Commands in one batch, and so in one log entry.
pub const BATCH_COMMANDS_MAX: usize = 1_000;

/// How long the first outcome under an idempotency key is answered again, in milliseconds after the key was made: 30 days.
/// Older keys are refused.
pub const KEY_WINDOW_MS: i64 = 30 * 24 * 60 * 60 * 1_000;

/// How far ahead of replicated time a key may have been made, in milliseconds: 5 minutes, for clients whose clock is wrong.
pub const KEY_AHEAD_MAX_MS: i64 = 5 * 60 * 1_000;

/// Outcomes under idempotency keys that are stored at once; beyond it new keys are refused and none is dropped before its time.
/// In one window a whole population of 100 million may be registered, beside 130 million commands at 50 a second. ADR 0022
/// says what they cost.
pub const KEYS_STORED_MAX: u64 = 250_000_000;

/// Expired keys that one log entry drops beyond one for each of its commands: a backlog shrinks with every entry, and no
/// entry is held up for long.
pub const KEYS_DROPPED_BEYOND_COMMANDS: usize = 64;

/// Persons that one look-up returns.
pub const FIND_LIMIT_MAX: usize = 100;

/// Persons that one read asks for by number.
pub const GET_PERSONS_MAX: usize = 1_000;

/// Numbers that one page of a scan goes through.
pub const SCAN_PAGE_MAX: usize = 1_000;

/// Versions that one page of a history holds.
pub const HISTORY_PAGE_MAX: usize = 100;

/// Numbers of a salted sequence that are tried before the pages of the bucket are looked through.
pub const PIN_TRIES_MAX: usize = 64;

/// Numbers in one bucket of personal identification numbers: six free digits.
pub const BUCKET_NUMBERS: u32 = 1_000_000;

/// Numbers in one page of a bucket; the last page of a bucket is shorter.
pub const PAGE_NUMBERS: u32 = 4_096;

/// Pages in a bucket.
pub const BUCKET_PAGES: u16 = 245;

/// First year that a date may have.
pub const YEAR_MIN: u16 = 1800;

/// Last year that a date may have, and the last for which Circular 59/2021 gives a century digit.
pub const YEAR_MAX: u16 = 2399;

const _: () = assert!(NAME_PART_CHARS_MAX <= NAME_CHARS_MAX);
const _: () = assert!(NAME_CHARS_MAX <= RAW_TEXT_CHARS_MAX);
const _: () = assert!(PIN_TRIES_MAX < BUCKET_NUMBERS as usize);
const _: () = assert!(BUCKET_NUMBERS.div_ceil(PAGE_NUMBERS) == BUCKET_PAGES as u32);
const _: () = assert!(BUCKET_PAGES <= 256 && PAGE_NUMBERS <= u16::MAX as u32);
const _: () = assert!(0 < KEY_AHEAD_MAX_MS && KEY_AHEAD_MAX_MS < KEY_WINDOW_MS);
const _: () =
    assert!(KEYS_DROPPED_BEYOND_COMMANDS > 0 && KEYS_STORED_MAX > BATCH_COMMANDS_MAX as u64);
const _: () = assert!(YEAR_MIN < 1900 && YEAR_MAX == 2399);
