//! Values that the wire and the store know by a number: sex, marital status, relations, findings and their kind.

macro_rules! coded {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $code:literal $label:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant = $code),+
        }

        impl $name {
            /// Every value, in the order of the codes.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The code that the wire and the store use; never given to another meaning.
            #[must_use]
            pub const fn code(self) -> i32 {
                self as i32
            }

            /// The value with that code.
            #[must_use]
            pub const fn from_code(code: i32) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// A stable name in upper case.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$variant => $label),+
                }
            }
        }
    };
}

pub(crate) use coded;

coded! {
    /// Sex as registered (QCVN 109:2017/BTTTT: 1 male, 2 female).
    Sex {
        /// Male.
        Male = 1 "MALE",
        /// Female.
        Female = 2 "FEMALE",
    }
}

coded! {
    /// Marital status (QCVN 109:2017/BTTTT).
    MaritalStatus {
        /// Never married.
        NeverMarried = 1 "NEVER_MARRIED",
        /// Married.
        Married = 2 "MARRIED",
        /// Divorced or widowed.
        DivorcedOrWidowed = 3 "DIVORCED_OR_WIDOWED",
    }
}

coded! {
    /// Blood group, recorded only on the citizen's request (QCVN 109:2017/BTTTT).
    BloodGroup {
        /// Group A.
        A = 1 "A",
        /// Group B.
        B = 2 "B",
        /// Group AB.
        Ab = 3 "AB",
        /// Group O.
        O = 4 "O",
    }
}

coded! {
    /// Relation to the head of the household (categories of Circular 55/2021/TT-BCA Art. 6).
    Relation {
        /// The head.
        Head = 1 "HEAD",
        /// Wife or husband.
        Spouse = 2 "SPOUSE",
        /// Father, mother, in-law, adoptive or step-parent.
        Parent = 3 "PARENT",
        /// Child, adopted, step-child or child-in-law.
        Child = 4 "CHILD",
        /// Grandparent or great-grandparent.
        Grandparent = 5 "GRANDPARENT",
        /// Grandchild or great-grandchild.
        Grandchild = 6 "GRANDCHILD",
        /// Sibling, half-sibling or sibling-in-law.
        Sibling = 7 "SIBLING",
        /// Uncle or aunt.
        UncleOrAunt = 8 "UNCLE_OR_AUNT",
        /// Nephew or niece.
        NephewOrNiece = 9 "NEPHEW_OR_NIECE",
        /// Guardian.
        Guardian = 10 "GUARDIAN",
        /// Ward of a guardian.
        Ward = 11 "WARD",
        /// Co-tenant.
        CoTenant = 12 "CO_TENANT",
        /// Another relation, spelled out in words.
        Other = 13 "OTHER",
    }
}

coded! {
    /// How a life ended on record (Art. 9(1)(p)).
    DeathKind {
        /// Dead.
        Deceased = 1 "DECEASED",
        /// Declared missing by a court.
        Missing = 2 "MISSING",
    }
}

coded! {
    /// Whether a person is alive as far as the registry knows.
    LifeStatus {
        /// Alive.
        Alive = 1 "ALIVE",
        /// Dead.
        Deceased = 2 "DECEASED",
        /// Declared missing.
        Missing = 3 "MISSING",
    }
}

coded! {
    /// What could not be confirmed about a record that was kept as written.
    FindingCode {
        /// The province code is none of the 63.
        ProvinceCodeUnknown = 1 "PROVINCE_CODE_UNKNOWN",
        /// The district code is in no known list.
        DistrictCodeUnknown = 2 "DISTRICT_CODE_UNKNOWN",
        /// The ward code is in no known list.
        WardCodeUnknown = 3 "WARD_CODE_UNKNOWN",
        /// The district belongs to another province.
        DistrictNotInProvince = 4 "DISTRICT_NOT_IN_PROVINCE",
        /// The ward belongs to another district.
        WardNotInDistrict = 5 "WARD_NOT_IN_DISTRICT",
        /// The ward belongs to another province.
        WardNotInProvince = 6 "WARD_NOT_IN_PROVINCE",
        /// The PIN opens with another place than that of the birth registration.
        PinOfOtherProvince = 7 "PIN_OF_OTHER_PROVINCE",
        /// The death was recorded where it happened, by an office that is not the person's own.
        DeathRecordedElsewhere = 8 "DEATH_RECORDED_ELSEWHERE",
    }
}
