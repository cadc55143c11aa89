//! Rejections as they are stored: the number of the public code and its parameters, never text.

use banyan_domain::policy::Denial;
use banyan_domain::{
    CommandName, Contradiction, DeathKind, DocumentKind, FieldFault, LegalBasis, PlaceProblem,
    Rejection, VersionNumber,
};

use crate::errors::{Code, code_of_rejection};
use crate::gather::Gather;
use crate::internal_v1::StoredRejection;

/// Causes by their stored number. Numbers are never given to another meaning; zero means none.
const CONTRADICTIONS: [(u32, Contradiction); 4] = [
    (1, Contradiction::BirthYear),
    (2, Contradiction::Sex),
    (3, Contradiction::BirthYearAndSex),
    (4, Contradiction::PlaceCode),
];
const PLACE_PROBLEMS: [(u32, PlaceProblem); 3] = [
    (1, PlaceProblem::ProvinceUnknown),
    (2, PlaceProblem::Abroad),
    (3, PlaceProblem::BornBefore1900),
];
const DENIALS: [(u32, Denial); 4] = [
    (1, Denial::Role),
    (2, Denial::OutsideArea),
    (3, Denial::NumberUnconfirmed),
    (4, Denial::DeathUnproven),
];

/// The number of a contradiction. The match is exhaustive, so that a new one does not compile without a number.
const fn contradiction_number(what: Contradiction) -> u32 {
    match what {
        Contradiction::BirthYear => 1,
        Contradiction::Sex => 2,
        Contradiction::BirthYearAndSex => 3,
        Contradiction::PlaceCode => 4,
    }
}

const fn place_problem_number(reason: PlaceProblem) -> u32 {
    match reason {
        PlaceProblem::ProvinceUnknown => 1,
        PlaceProblem::Abroad => 2,
        PlaceProblem::BornBefore1900 => 3,
    }
}

const fn denial_number(denial: Denial) -> u32 {
    match denial {
        Denial::Role => 1,
        Denial::OutsideArea => 2,
        Denial::NumberUnconfirmed => 3,
        Denial::DeathUnproven => 4,
    }
}

pub(super) fn to_stored(rejection: &Rejection) -> StoredRejection {
    let mut stored = StoredRejection {
        number: u32::from(code_of_rejection(rejection).row().number),
        ..StoredRejection::default()
    };
    match rejection {
        Rejection::PinAlreadyRegistered
        | Rejection::CmndAlreadyRegistered
        | Rejection::FormAlreadyRegistered
        | Rejection::PersonNotFound
        | Rejection::PersonAlreadyDeceased
        | Rejection::DeathBeforeBirth
        | Rejection::BucketExhausted
        | Rejection::IdempotencyKeyReused
        | Rejection::KeyExpired
        | Rejection::KeyAhead
        | Rejection::KeysFull => {}
        Rejection::PinContradictsRecord { what }
        | Rejection::PinReestablishmentRequired { what } => {
            stored.cause = contradiction_number(*what);
        }
        Rejection::DateInFuture { field } => stored.field.clone_from(field),
        Rejection::VersionConflict { current } => stored.version = current.get(),
        Rejection::BirthPlaceUnknown { reason, field } => {
            stored.cause = place_problem_number(*reason);
            stored.field.clone_from(field);
        }
        Rejection::NotAllowed { denial } => stored.cause = denial_number(*denial),
        Rejection::LegalBasisMismatch { basis, command } => {
            stored.legal_basis = basis.code().unsigned_abs();
            stored.command = command.code().unsigned_abs();
        }
        Rejection::DocumentMismatch { document, death } => {
            stored.document = document.code().unsigned_abs();
            stored.death = death.code().unsigned_abs();
        }
    }
    stored
}

pub(super) fn from_stored(stored: &StoredRejection) -> Result<Rejection, Vec<FieldFault>> {
    let code = Code::ALL
        .iter()
        .copied()
        .find(|code| u32::from(code.row().number) == stored.number);
    let mut gather = Gather::default();
    let rejection = code.and_then(|code| read(code, stored));
    if rejection.is_none() {
        let text = format!(
            "number {} with these parameters is none that this version knows",
            stored.number
        );
        gather.add("number", text);
    }
    gather.finish(rejection)
}

fn read(code: Code, stored: &StoredRejection) -> Option<Rejection> {
    Some(match code {
        Code::PinAlreadyRegistered => Rejection::PinAlreadyRegistered,
        Code::CmndAlreadyRegistered => Rejection::CmndAlreadyRegistered,
        Code::FormAlreadyRegistered => Rejection::FormAlreadyRegistered,
        Code::PinContradictsRecord => Rejection::PinContradictsRecord {
            what: by_number(&CONTRADICTIONS, stored.cause)?,
        },
        Code::PersonNotFound => Rejection::PersonNotFound,
        Code::PersonAlreadyDeceased => Rejection::PersonAlreadyDeceased,
        Code::DeathBeforeBirth => Rejection::DeathBeforeBirth,
        Code::DateInFuture => Rejection::DateInFuture {
            field: stored.field.clone(),
        },
        Code::VersionConflict => Rejection::VersionConflict {
            current: VersionNumber(stored.version),
        },
        Code::PinReestablishmentRequired => Rejection::PinReestablishmentRequired {
            what: by_number(&CONTRADICTIONS, stored.cause)?,
        },
        Code::BirthPlaceUnknown => Rejection::BirthPlaceUnknown {
            reason: by_number(&PLACE_PROBLEMS, stored.cause)?,
            field: stored.field.clone(),
        },
        Code::BucketExhausted => Rejection::BucketExhausted,
        Code::IdempotencyKeyReused => Rejection::IdempotencyKeyReused,
        Code::KeyExpired => Rejection::KeyExpired,
        Code::KeyAhead => Rejection::KeyAhead,
        Code::KeysFull => Rejection::KeysFull,
        Code::NotAllowedAtDecision => Rejection::NotAllowed {
            denial: by_number(&DENIALS, stored.cause)?,
        },
        Code::LegalBasisMismatch => Rejection::LegalBasisMismatch {
            basis: LegalBasis::from_code(i32::try_from(stored.legal_basis).ok()?)?,
            command: CommandName::from_code(i32::try_from(stored.command).ok()?)?,
        },
        Code::DocumentMismatch => Rejection::DocumentMismatch {
            document: DocumentKind::from_code(i32::try_from(stored.document).ok()?)?,
            death: DeathKind::from_code(i32::try_from(stored.death).ok()?)?,
        },
        _ => return None,
    })
}

fn by_number<T: Copy>(table: &[(u32, T)], number: u32) -> Option<T> {
    table
        .iter()
        .find(|(known, _)| *known == number)
        .map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_read_back_under_its_number() {
        for (number, what) in CONTRADICTIONS {
            assert_eq!(contradiction_number(what), number);
        }
        for (number, reason) in PLACE_PROBLEMS {
            assert_eq!(place_problem_number(reason), number);
        }
        for (number, denial) in DENIALS {
            assert_eq!(denial_number(denial), number);
        }
    }
}
