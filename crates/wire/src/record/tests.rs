//! Records decode to what was encoded.

use banyan_domain::policy::Denial;
use banyan_domain::{
    CommandName, Contradiction, DeathKind, DocumentKind, LegalBasis, PlaceProblem, Rejection,
    VersionNumber,
};

/// One of each rejection, with each of its parameters at least once.
pub(crate) fn every_rejection() -> Vec<Rejection> {
    let what = Contradiction::Sex;
    vec![
        Rejection::PinAlreadyRegistered,
        Rejection::CmndAlreadyRegistered,
        Rejection::FormAlreadyRegistered,
        Rejection::PinContradictsRecord { what },
        Rejection::PersonNotFound,
        Rejection::PersonAlreadyDeceased,
        Rejection::DeathBeforeBirth,
        Rejection::DateInFuture {
            field: String::from("data.birth_date"),
        },
        Rejection::VersionConflict {
            current: VersionNumber(7),
        },
        Rejection::PinReestablishmentRequired { what },
        Rejection::BirthPlaceUnknown {
            reason: PlaceProblem::Abroad,
            field: String::from("data.birth_registration_place"),
        },
        Rejection::BucketExhausted,
        Rejection::IdempotencyKeyReused,
        Rejection::KeyExpired,
        Rejection::KeyAhead,
        Rejection::KeysFull,
        Rejection::NotAllowed {
            denial: Denial::OutsideArea,
        },
        Rejection::LegalBasisMismatch {
            basis: LegalBasis::Collection,
            command: CommandName::RecordDeath,
        },
        Rejection::DocumentMismatch {
            document: DocumentKind::CollectionForm,
            death: DeathKind::Missing,
        },
    ]
}
