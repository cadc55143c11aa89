//! The public error code of each rejection of the domain.

use banyan_domain::Rejection;
use banyan_domain::policy::Denial;

use super::Code;
use crate::v1;

/// The code of a rejection. The match names every variant: a new one does not compile until it has a code.
#[must_use]
pub fn code_of_rejection(rejection: &Rejection) -> Code {
    match rejection {
        Rejection::PinAlreadyRegistered => Code::PinAlreadyRegistered,
        Rejection::CmndAlreadyRegistered => Code::CmndAlreadyRegistered,
        Rejection::FormAlreadyRegistered => Code::FormAlreadyRegistered,
        Rejection::PinContradictsRecord { .. } => Code::PinContradictsRecord,
        Rejection::PersonNotFound => Code::PersonNotFound,
        Rejection::PersonAlreadyDeceased => Code::PersonAlreadyDeceased,
        Rejection::DeathBeforeBirth => Code::DeathBeforeBirth,
        Rejection::DateInFuture { .. } => Code::DateInFuture,
        Rejection::VersionConflict { .. } => Code::VersionConflict,
        Rejection::PinReestablishmentRequired { .. } => Code::PinReestablishmentRequired,
        Rejection::BirthPlaceUnknown { .. } => Code::BirthPlaceUnknown,
        Rejection::BucketExhausted => Code::BucketExhausted,
        Rejection::IdempotencyKeyReused => Code::IdempotencyKeyReused,
        Rejection::KeyExpired => Code::KeyExpired,
        Rejection::KeyAhead => Code::KeyAhead,
        Rejection::KeysFull => Code::KeysFull,
        Rejection::NotAllowed { .. } => Code::NotAllowedAtDecision,
        Rejection::LegalBasisMismatch { .. } => Code::LegalBasisMismatch,
        Rejection::DocumentMismatch { .. } => Code::DocumentMismatch,
    }
}

/// A rejection as clients see it. Its text says what was found and holds no personal data; its faults name the field
/// where the rejection is about one.
#[must_use]
pub fn rejected_to_wire(rejection: &Rejection) -> v1::Rejected {
    let code = code_of_rejection(rejection);
    let message = rejection.to_string();
    let faults = field_of(rejection)
        .map(|field| v1::FieldFault {
            field: field.to_owned(),
            message: message.clone(),
        })
        .into_iter()
        .collect();
    v1::Rejected {
        code: code.label().to_owned(),
        name: code.name().to_owned(),
        message,
        faults,
    }
}

/// The field of the command that a rejection is about, where there is one.
fn field_of(rejection: &Rejection) -> Option<&str> {
    match rejection {
        Rejection::DateInFuture { field } | Rejection::BirthPlaceUnknown { field, .. } => {
            Some(field)
        }
        Rejection::PinAlreadyRegistered
        | Rejection::PinContradictsRecord { .. }
        | Rejection::PersonNotFound => Some("pin"),
        Rejection::CmndAlreadyRegistered => Some("data.cmnd"),
        Rejection::FormAlreadyRegistered => Some("document.number"),
        Rejection::DeathBeforeBirth => Some("death.date"),
        Rejection::VersionConflict { .. } => Some("expected_version"),
        Rejection::LegalBasisMismatch { .. } => Some("legal_basis"),
        Rejection::DocumentMismatch { .. }
        | Rejection::NotAllowed {
            denial: Denial::DeathUnproven,
        } => Some("document.kind"),
        Rejection::NotAllowed {
            denial: Denial::NumberUnconfirmed,
        } => Some("pin"),
        Rejection::PersonAlreadyDeceased
        | Rejection::PinReestablishmentRequired { .. }
        | Rejection::BucketExhausted
        | Rejection::IdempotencyKeyReused
        | Rejection::KeyExpired
        | Rejection::KeyAhead
        | Rejection::KeysFull
        | Rejection::NotAllowed {
            denial: Denial::Role | Denial::OutsideArea,
        } => None,
    }
}

#[cfg(test)]
mod tests {
    use banyan_domain::PlaceProblem;

    use super::*;
    use crate::errors::Kind;

    #[test]
    fn code_and_domain_give_a_rejection_one_name() {
        for rejection in crate::record::tests::every_rejection() {
            assert_eq!(code_of_rejection(&rejection).name(), rejection.name());
            // What only says "not now" is answered as an error with a hint when to come again.
            let kind = match rejection {
                Rejection::KeysFull => Kind::Unavailable,
                _ => Kind::Rejection,
            };
            assert_eq!(code_of_rejection(&rejection).kind(), kind);
        }
    }

    #[test]
    fn a_rejection_names_the_field_by_its_path_in_the_command() {
        let field = String::from("data.birth_registration_place");
        let reason = PlaceProblem::ProvinceUnknown;
        let not_allowed = |denial| Rejection::NotAllowed { denial };
        let cases = [
            (
                Rejection::BirthPlaceUnknown {
                    reason,
                    field: field.clone(),
                },
                Some(field.as_str()),
            ),
            (not_allowed(Denial::NumberUnconfirmed), Some("pin")),
            (not_allowed(Denial::DeathUnproven), Some("document.kind")),
            (not_allowed(Denial::OutsideArea), None),
        ];
        for (rejection, path) in cases {
            let faults = rejected_to_wire(&rejection).faults;
            let named = faults.first().map(|fault| fault.field.as_str());
            assert_eq!(named, path);
        }
    }
}
