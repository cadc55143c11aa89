//! Random values of the domain's types, within their bounds. Boxed: their value trees are too large for a test's stack.

use banyan_domain::{
    Actor, AreaCode, AuditRecord, BirthDate, BloodGroup, CalendarDate, Cmnd, Command, CommandHead,
    CommandName, CorrectPerson, CountryCode, Death, DeathKind, Decision, DistrictCode,
    DocumentKind, DocumentNumber, Envelope, Ethnicity, Finding, FindingCode, Fingerprint,
    Household, IdempotencyKey, Judged, LegalBasis, MaritalStatus, Nationalities, NodeId, Office,
    PersonData, PersonId, PersonName, PersonVersion, Pin, Place, Position, Principal, Provenance,
    ProvinceCode, RecordDeath, RegisterBirth, RegisterPerson, RelatedPerson, Relation, Religion,
    Role, Sex, SourceDocument, StoredOutcome, TemporaryStay, Text, Timestamp, Verdict,
    VersionNumber, WardCode,
};
use banyan_domain::{Contradiction, PlaceProblem, Rejection, policy::Denial};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

/// Composed, decomposed, with marks that no letter composes with, with spaces to fold: normalised by the domain.
const WORD: &str = "[A-Za-zĐđÀ-ỹƠơƯư'’.\u{301}\u{323} -]{0,12}";

pub(crate) fn name() -> BoxedStrategy<PersonName> {
    (WORD, WORD, WORD)
        .prop_filter_map("a name that the domain takes", |(family, middle, given)| {
            PersonName::new(&family, &middle, &given).ok()
        })
        .boxed()
}

pub(crate) fn date() -> BoxedStrategy<CalendarDate> {
    (1800_u16..=2399, 1_u8..=12, 1_u8..=31)
        .prop_filter_map("a day that exists", |(year, month, day)| {
            CalendarDate::new(year, month, day).ok()
        })
        .boxed()
}

pub(crate) fn birth_date() -> BoxedStrategy<BirthDate> {
    prop_oneof![
        date().prop_map(BirthDate::Full),
        (1800_u16..=2399).prop_map(|year| BirthDate::year_only(year).unwrap()),
    ]
    .boxed()
}

fn country() -> BoxedStrategy<CountryCode> {
    "[A-Z]{2}"
        .prop_map(|code| CountryCode::new(&code).unwrap())
        .boxed()
}

fn text<const MAX: usize>() -> BoxedStrategy<Text<MAX>> {
    "[ -~À-ỹ\u{301}]{1,30}"
        .prop_filter_map("a text that the domain takes", |raw| Text::new(&raw).ok())
        .boxed()
}

pub(crate) fn place() -> BoxedStrategy<Place> {
    (
        of("[0-9]{2}"),
        of("[0-9]{3}"),
        of("[0-9]{5}"),
        of(text()),
        of(country()),
    )
        .prop_map(|(province, district, ward, detail, country)| Place {
            province: province.map(|code| ProvinceCode::new(&code).unwrap()),
            district: district.map(|code| DistrictCode::new(&code).unwrap()),
            ward: ward.map(|code| WardCode::new(&code).unwrap()),
            detail,
            country,
        })
        .boxed()
}

fn pin() -> BoxedStrategy<Pin> {
    "[0-9]{12}"
        .prop_filter_map("a number of the legal form", |digits| {
            Pin::parse(&digits).ok()
        })
        .boxed()
}

fn cmnd() -> BoxedStrategy<Cmnd> {
    "[0-9]{9}"
        .prop_filter_map("a card number of the legal form", |digits| {
            Cmnd::parse(&digits).ok()
        })
        .boxed()
}

fn related() -> BoxedStrategy<RelatedPerson> {
    (name(), of(pin()), of(cmnd()), of(country()))
        .prop_map(|(name, pin, cmnd, nationality)| RelatedPerson {
            name,
            pin,
            cmnd,
            nationality,
        })
        .boxed()
}

fn household() -> BoxedStrategy<Household> {
    (
        of(text()),
        select(Relation::ALL),
        text(),
        related(),
        vec(related(), 0..4),
    )
        .prop_map(|(number, relation, words, head, members)| {
            let words = (relation == Relation::Other).then_some(words);
            let head = (relation != Relation::Head).then_some(head);
            Household::new(number, relation, words, head, members).unwrap()
        })
        .boxed()
}

fn stay() -> BoxedStrategy<TemporaryStay> {
    (place(), of(date()), of(date()))
        .prop_filter_map("a stay that ends after it began", |(place, from, until)| {
            TemporaryStay::new(place, from, until).ok()
        })
        .boxed()
}

fn nationalities() -> BoxedStrategy<Nationalities> {
    vec(country(), 1..=3)
        .prop_filter_map("different nationalities", |codes| {
            Nationalities::new(codes).ok()
        })
        .boxed()
}

pub(crate) fn death() -> BoxedStrategy<Death> {
    (select(DeathKind::ALL), birth_date(), place())
        .prop_map(|(kind, date, place)| Death { kind, date, place })
        .boxed()
}

pub(crate) fn data() -> BoxedStrategy<PersonData> {
    let identity = (name(), birth_date(), select(Sex::ALL), nationalities());
    let places = (place(), place(), place(), place(), of(stay()), of(stay()));
    let codes = (
        of((1_u8..=54).prop_map(|code| Ethnicity::new(&format!("{code:02}")).unwrap())),
        of((0_u8..=99).prop_map(|code| Religion::new(&format!("{code:02}")).unwrap())),
        of(select(MaritalStatus::ALL)),
        of(select(BloodGroup::ALL)),
        of(cmnd()),
    );
    let relatives = (
        of(related()),
        of(related()),
        of(related()),
        of(related()),
        of(household()),
    );
    (identity, places, codes, relatives)
        .prop_map(|(identity, places, codes, relatives)| PersonData {
            name: identity.0,
            birth_date: identity.1,
            sex: identity.2,
            nationalities: identity.3,
            birth_registration_place: places.0,
            native_place: places.1,
            permanent_residence: places.2,
            current_residence: places.3,
            temporary_residence: places.4,
            temporary_absence: places.5,
            ethnicity: codes.0,
            religion: codes.1,
            marital_status: codes.2,
            blood_group: codes.3,
            cmnd: codes.4,
            father: relatives.0,
            mother: relatives.1,
            spouse: relatives.2,
            legal_representative: relatives.3,
            household: relatives.4,
        })
        .boxed()
}

fn code<const MAX: usize>() -> BoxedStrategy<banyan_domain::AsciiCode<MAX>> {
    "[A-Za-z0-9./@-]{1,35}"
        .prop_map(|text| banyan_domain::AsciiCode::new(&text).unwrap())
        .boxed()
}

fn role() -> BoxedStrategy<Role> {
    let area = prop_oneof!["[0-9]{2}", "[0-9]{3}", "[0-9]{5}"];
    prop_oneof![
        area.prop_map(|digits| Role::Registrar {
            area: AreaCode::parse(&digits).unwrap()
        }),
        Just(Role::Centre),
        Just(Role::Operator),
    ]
    .boxed()
}

pub(crate) fn actor() -> BoxedStrategy<Actor> {
    let principal: BoxedStrategy<Principal> = code();
    (principal, role(), 1_u64..100)
        .prop_map(|(principal, role, node)| Actor {
            principal,
            role,
            admitted_by: NodeId(node),
        })
        .boxed()
}

fn document() -> BoxedStrategy<SourceDocument> {
    let number: BoxedStrategy<DocumentNumber> = text();
    (select(DocumentKind::ALL), number, of(date()))
        .prop_map(|(kind, number, issued)| SourceDocument {
            kind,
            number,
            issued,
        })
        .boxed()
}

pub(crate) fn key() -> BoxedStrategy<IdempotencyKey> {
    (any::<i64>(), any::<[u8; 10]>())
        .prop_map(|(made, random)| IdempotencyKey::new(Timestamp(made), random))
        .boxed()
}

fn time() -> BoxedStrategy<Timestamp> {
    any::<i64>().prop_map(Timestamp).boxed()
}

fn findings() -> BoxedStrategy<Vec<Finding>> {
    vec(
        (select(FindingCode::ALL), "[a-z_.]{1,40}")
            .prop_map(|(code, field)| Finding { code, field }),
        0..4,
    )
    .boxed()
}

pub(crate) fn head() -> BoxedStrategy<CommandHead> {
    let office: BoxedStrategy<Office> = code();
    (office, select(LegalBasis::ALL), document())
        .prop_map(|(office, legal_basis, document)| CommandHead {
            office,
            legal_basis,
            document,
        })
        .boxed()
}

pub(crate) fn version() -> BoxedStrategy<PersonVersion> {
    let numbers = (any::<u64>(), any::<u32>(), any::<u64>(), any::<u64>());
    let commanded = (select(CommandName::ALL), of(text()));
    let who = (actor(), head(), commanded, time(), key());
    (numbers, pin(), data(), of(death()), findings(), who)
        .prop_map(|(numbers, pin, data, death, findings, who)| {
            let (actor, head, (command, reason), time, key) = who;
            PersonVersion {
                person: PersonId(numbers.0),
                version: VersionNumber(numbers.1),
                pin,
                data,
                death,
                findings,
                provenance: Provenance {
                    time,
                    actor,
                    office: head.office,
                    legal_basis: head.legal_basis,
                    document: head.document,
                    command,
                    reason,
                    position: Position {
                        term: numbers.3,
                        index: numbers.2,
                    },
                },
                key,
            }
        })
        .boxed()
}

pub(crate) fn command() -> BoxedStrategy<Command> {
    let birth = (
        name(),
        date(),
        select(Sex::ALL),
        place(),
        place(),
        nationalities(),
        of(related()),
        of(related()),
    );
    prop_oneof![
        (data(), of(pin()), of(death())).prop_map(|(data, pin, death)| {
            Command::RegisterPerson(Box::new(RegisterPerson { data, pin, death }))
        }),
        birth.prop_map(|birth| {
            Command::RegisterBirth(Box::new(RegisterBirth {
                name: birth.0,
                birth_date: birth.1,
                sex: birth.2,
                birth_registration_place: birth.3,
                native_place: birth.4,
                ethnicity: None,
                nationalities: birth.5,
                father: birth.6.clone(),
                mother: birth.7,
                legal_representative: birth.6,
            }))
        }),
        (pin(), 1_u32.., data(), text()).prop_map(|(pin, version, data, reason)| {
            let expected_version = VersionNumber(version);
            Command::CorrectPerson(Box::new(CorrectPerson {
                pin,
                expected_version,
                data,
                reason,
            }))
        }),
        (pin(), death())
            .prop_map(|(pin, death)| Command::RecordDeath(Box::new(RecordDeath { pin, death }))),
    ]
    .boxed()
}

pub(crate) fn envelope() -> BoxedStrategy<Envelope> {
    (
        actor(),
        key(),
        any::<[u8; 16]>(),
        any::<u64>(),
        head(),
        command(),
    )
        .prop_map(|(actor, key, fingerprint, salt, head, command)| Envelope {
            actor,
            key,
            fingerprint: Fingerprint(fingerprint),
            salt,
            head,
            command,
        })
        .boxed()
}

fn rejection() -> BoxedStrategy<Rejection> {
    let what = select(vec![
        Contradiction::BirthYear,
        Contradiction::Sex,
        Contradiction::BirthYearAndSex,
        Contradiction::PlaceCode,
    ]);
    let reason = select(vec![
        PlaceProblem::ProvinceUnknown,
        PlaceProblem::Abroad,
        PlaceProblem::BornBefore1900,
    ]);
    prop_oneof![
        select(vec![
            Rejection::PinAlreadyRegistered,
            Rejection::CmndAlreadyRegistered,
            Rejection::FormAlreadyRegistered,
            Rejection::PersonNotFound,
            Rejection::PersonAlreadyDeceased,
            Rejection::DeathBeforeBirth,
            Rejection::BucketExhausted,
            Rejection::IdempotencyKeyReused,
            Rejection::KeyExpired,
            Rejection::KeyAhead,
            Rejection::KeysFull,
        ]),
        what.clone()
            .prop_map(|what| Rejection::PinContradictsRecord { what }),
        what.prop_map(|what| Rejection::PinReestablishmentRequired { what }),
        (reason, "[a-z_.]{0,30}")
            .prop_map(|(reason, field)| Rejection::BirthPlaceUnknown { reason, field }),
        (select(DocumentKind::ALL), select(DeathKind::ALL))
            .prop_map(|(document, death)| Rejection::DocumentMismatch { document, death }),
        "[a-z_.]{0,30}".prop_map(|field| Rejection::DateInFuture { field }),
        any::<u32>().prop_map(|version| Rejection::VersionConflict {
            current: VersionNumber(version)
        }),
        select(vec![
            Denial::Role,
            Denial::OutsideArea,
            Denial::NumberUnconfirmed,
            Denial::DeathUnproven,
        ])
        .prop_map(|denial| Rejection::NotAllowed { denial }),
        (select(LegalBasis::ALL), select(CommandName::ALL))
            .prop_map(|(basis, command)| Rejection::LegalBasisMismatch { basis, command }),
    ]
    .boxed()
}

pub(crate) fn stored_outcome() -> BoxedStrategy<StoredOutcome> {
    let place = || {
        (1_u64.., 1_u32..).prop_map(|(person, version)| (PersonId(person), VersionNumber(version)))
    };
    let judged = prop_oneof![
        Just(Judged::Nothing),
        Just(Judged::Command),
        place().prop_map(|(person, version)| Judged::Record { person, version }),
    ];
    let rejected = (rejection(), judged, any::<u64>(), any::<u64>(), time());
    let verdict = prop_oneof![
        place().prop_map(|(person, version)| Verdict::Accepted { person, version }),
        rejected.prop_map(|(rejection, judged, term, index, time)| Verdict::Rejected {
            rejection,
            judged,
            position: Position { term, index },
            time,
        }),
    ];
    (any::<[u8; 16]>(), verdict)
        .prop_map(|(fingerprint, verdict)| StoredOutcome {
            fingerprint: Fingerprint(fingerprint),
            verdict,
        })
        .boxed()
}

pub(crate) fn audit() -> BoxedStrategy<AuditRecord> {
    let decision = prop_oneof![
        Just(Decision::Accepted),
        Just(Decision::Replayed),
        rejection().prop_map(|rejection| Decision::Rejected(rejection.name().to_owned())),
    ];
    let whose = (of(1_u64..), of(1_u32..));
    let place = (any::<u64>(), any::<u64>(), any::<u32>());
    (
        actor(),
        head(),
        select(CommandName::ALL),
        decision,
        whose,
        key(),
        time(),
        place,
    )
        .prop_map(
            |(actor, head, command, decision, whose, key, time, place)| AuditRecord {
                position: Position {
                    term: place.0,
                    index: place.1,
                },
                ordinal: place.2,
                actor,
                office: head.office,
                command,
                decision,
                person: whose.0.map(PersonId),
                version: whose.1.map(VersionNumber),
                key,
                time,
            },
        )
        .boxed()
}
