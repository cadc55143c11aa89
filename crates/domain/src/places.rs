//! Places: codes of administrative units whose form is checked, and words for the rest.

use std::fmt;

use crate::faults::ValueFault;
use crate::limits::PLACE_DETAIL_CHARS_MAX;
use crate::text::Text;

macro_rules! digits {
    ($(#[$doc:meta])* $name:ident, $length:literal, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $length]);

        impl $name {
            /// Reads exactly the digits; whether such a unit exists is another question.
            ///
            /// # Errors
            /// Another length, or a character that is no ASCII digit.
            pub fn new(text: &str) -> Result<Self, ValueFault> {
                let digits: [u8; $length] =
                    text.as_bytes().try_into().map_err(|_| ValueFault::new($rule))?;
                if digits.iter().all(u8::is_ascii_digit) { Ok(Self(digits)) } else { Err(ValueFault::new($rule)) }
            }

            /// The digits.
            #[must_use]
            pub fn as_str(&self) -> &str {
                std::str::from_utf8(&self.0).unwrap_or_default()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

digits! {
    /// Code of a province or a city under the central government: 2 digits (General Statistics Office).
    ProvinceCode, 2, "must be 2 digits"
}
digits! {
    /// Code of a district: 3 digits.
    DistrictCode, 3, "must be 3 digits"
}
digits! {
    /// Code of a ward, commune or town: 5 digits.
    WardCode, 5, "must be 5 digits"
}

/// ISO 3166-1 alpha-2 code of a country, upper case. Its form is checked, not its membership in the list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CountryCode([u8; 2]);

impl CountryCode {
    /// Viet Nam.
    pub const VN: Self = Self(*b"VN");

    /// Two upper-case ASCII letters.
    ///
    /// # Errors
    /// Anything else.
    pub fn new(text: &str) -> Result<Self, ValueFault> {
        match text.as_bytes() {
            [first, second] if first.is_ascii_uppercase() && second.is_ascii_uppercase() => {
                Ok(Self([*first, *second]))
            }
            _ => Err(ValueFault::new(
                "must be a country code of two upper-case letters (ISO 3166-1)",
            )),
        }
    }

    /// The two letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A place as the law's items name it: codes where they are known, words for the rest.
///
/// Codes that are in no known list are kept as written: forms of 2021 name wards that are gone since. See
/// [`crate::Units::findings`].
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// Province, 2 digits.
    pub province: Option<ProvinceCode>,
    /// District, 3 digits.
    pub district: Option<DistrictCode>,
    /// Ward or commune, 5 digits.
    pub ward: Option<WardCode>,
    /// Street, hamlet, hospital; at most [`PLACE_DETAIL_CHARS_MAX`] characters.
    pub detail: Option<Text<PLACE_DETAIL_CHARS_MAX>>,
    /// Country; none means Viet Nam.
    pub country: Option<CountryCode>,
}

impl Place {
    /// Whether the place lies outside Viet Nam.
    #[must_use]
    pub fn is_abroad(&self) -> bool {
        self.country
            .is_some_and(|country| country != CountryCode::VN)
    }

    /// Whether nothing at all is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Where somebody lives is personal data.
impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<place>")
    }
}

/// An area that an actor is responsible for: a province, a district or a ward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AreaCode {
    /// A whole province.
    Province(ProvinceCode),
    /// A district.
    District(DistrictCode),
    /// A ward or commune.
    Ward(WardCode),
}

impl AreaCode {
    /// Reads 2, 3 or 5 digits.
    ///
    /// # Errors
    /// Another form.
    pub fn parse(text: &str) -> Result<Self, ValueFault> {
        match text.len() {
            2 => ProvinceCode::new(text).map(Self::Province),
            3 => DistrictCode::new(text).map(Self::District),
            5 => WardCode::new(text).map(Self::Ward),
            _ => Err(ValueFault::new(
                "an area must be a unit code of 2, 3 or 5 digits",
            )),
        }
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Province(code) => code.as_str(),
            Self::District(code) => code.as_str(),
            Self::Ward(code) => code.as_str(),
        }
    }
}

impl fmt::Display for AreaCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
