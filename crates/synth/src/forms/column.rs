//! The columns of a form, in the order in which they are written.

macro_rules! columns {
    ($($variant:ident $name:literal $path:literal,)*) => {
        /// A column of a form. Names are stable: a released name is never given another meaning.
        ///
        /// Places take five columns in a row (province, district, ward, detail, country) and related persons six
        /// (three parts of the name, PIN, CMND, nationality); the code that reads them relies on that order.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Column {
            $(#[doc = concat!("Column `", $name, "`.")] $variant,)*
        }

        /// All columns, in the order in which [`super::Writer`] writes them.
        pub const COLUMNS: &[Column] = &[$(Column::$variant,)*];

        const NAMES: &[&str] = &[$($name,)*];
        const PATHS: &[&str] = &[$($path,)*];
    };
}

columns! {
    FormNumber "form_number" "document.number",
    Office "office" "office",
    Issued "issued" "document.issued",
    Pin "pin" "pin",
    Cmnd "cmnd" "data.cmnd",
    FamilyName "family_name" "data.name.family",
    MiddleName "middle_name" "data.name.middle",
    GivenName "given_name" "data.name.given",
    BirthDate "birth_date" "data.birth_date",
    Sex "sex" "data.sex",
    Ethnicity "ethnicity" "data.ethnicity",
    Religion "religion" "data.religion",
    Nationalities "nationalities" "data.nationalities",
    MaritalStatus "marital_status" "data.marital_status",
    BloodGroup "blood_group" "data.blood_group",
    BirthRegistrationProvince "birth_registration_province" "data.birth_registration_place.province",
    BirthRegistrationDistrict "birth_registration_district" "data.birth_registration_place.district",
    BirthRegistrationWard "birth_registration_ward" "data.birth_registration_place.ward",
    BirthRegistrationDetail "birth_registration_detail" "data.birth_registration_place.detail",
    BirthRegistrationCountry "birth_registration_country" "data.birth_registration_place.country",
    NativeProvince "native_province" "data.native_place.province",
    NativeDistrict "native_district" "data.native_place.district",
    NativeWard "native_ward" "data.native_place.ward",
    NativeDetail "native_detail" "data.native_place.detail",
    NativeCountry "native_country" "data.native_place.country",
    PermanentProvince "permanent_province" "data.permanent_residence.province",
    PermanentDistrict "permanent_district" "data.permanent_residence.district",
    PermanentWard "permanent_ward" "data.permanent_residence.ward",
    PermanentDetail "permanent_detail" "data.permanent_residence.detail",
    PermanentCountry "permanent_country" "data.permanent_residence.country",
    TemporaryProvince "temporary_province" "data.temporary_residence.place.province",
    TemporaryDistrict "temporary_district" "data.temporary_residence.place.district",
    TemporaryWard "temporary_ward" "data.temporary_residence.place.ward",
    TemporaryDetail "temporary_detail" "data.temporary_residence.place.detail",
    TemporaryCountry "temporary_country" "data.temporary_residence.place.country",
    TemporaryFrom "temporary_from" "data.temporary_residence.from",
    TemporaryUntil "temporary_until" "data.temporary_residence.until",
    AbsenceProvince "absence_province" "data.temporary_absence.place.province",
    AbsenceDistrict "absence_district" "data.temporary_absence.place.district",
    AbsenceWard "absence_ward" "data.temporary_absence.place.ward",
    AbsenceDetail "absence_detail" "data.temporary_absence.place.detail",
    AbsenceCountry "absence_country" "data.temporary_absence.place.country",
    AbsenceFrom "absence_from" "data.temporary_absence.from",
    AbsenceUntil "absence_until" "data.temporary_absence.until",
    CurrentProvince "current_province" "data.current_residence.province",
    CurrentDistrict "current_district" "data.current_residence.district",
    CurrentWard "current_ward" "data.current_residence.ward",
    CurrentDetail "current_detail" "data.current_residence.detail",
    CurrentCountry "current_country" "data.current_residence.country",
    FatherFamilyName "father_family_name" "data.father.name.family",
    FatherMiddleName "father_middle_name" "data.father.name.middle",
    FatherGivenName "father_given_name" "data.father.name.given",
    FatherPin "father_pin" "data.father.pin",
    FatherCmnd "father_cmnd" "data.father.cmnd",
    FatherNationality "father_nationality" "data.father.nationality",
    MotherFamilyName "mother_family_name" "data.mother.name.family",
    MotherMiddleName "mother_middle_name" "data.mother.name.middle",
    MotherGivenName "mother_given_name" "data.mother.name.given",
    MotherPin "mother_pin" "data.mother.pin",
    MotherCmnd "mother_cmnd" "data.mother.cmnd",
    MotherNationality "mother_nationality" "data.mother.nationality",
    SpouseFamilyName "spouse_family_name" "data.spouse.name.family",
    SpouseMiddleName "spouse_middle_name" "data.spouse.name.middle",
    SpouseGivenName "spouse_given_name" "data.spouse.name.given",
    SpousePin "spouse_pin" "data.spouse.pin",
    SpouseCmnd "spouse_cmnd" "data.spouse.cmnd",
    SpouseNationality "spouse_nationality" "data.spouse.nationality",
    RepresentativeFamilyName "representative_family_name" "data.legal_representative.name.family",
    RepresentativeMiddleName "representative_middle_name" "data.legal_representative.name.middle",
    RepresentativeGivenName "representative_given_name" "data.legal_representative.name.given",
    RepresentativePin "representative_pin" "data.legal_representative.pin",
    RepresentativeCmnd "representative_cmnd" "data.legal_representative.cmnd",
    RepresentativeNationality "representative_nationality" "data.legal_representative.nationality",
    HouseholdNumber "household_number" "data.household.number",
    HouseholdRelation "household_relation" "data.household.relation",
    HouseholdRelationText "household_relation_text" "data.household.relation_text",
    HeadFamilyName "head_family_name" "data.household.head.name.family",
    HeadMiddleName "head_middle_name" "data.household.head.name.middle",
    HeadGivenName "head_given_name" "data.household.head.name.given",
    HeadPin "head_pin" "data.household.head.pin",
    HeadCmnd "head_cmnd" "data.household.head.cmnd",
    HeadNationality "head_nationality" "data.household.head.nationality",
    HouseholdMembers "household_members" "data.household.members",
    DeathKind "death_kind" "death.kind",
    DeathDate "death_date" "death.date",
    DeathProvince "death_province" "death.place.province",
    DeathDistrict "death_district" "death.place.district",
    DeathWard "death_ward" "death.place.ward",
    DeathDetail "death_detail" "death.place.detail",
    DeathCountry "death_country" "death.place.country",
}

impl Column {
    /// The name in the header of a CSV file and in a JSON object.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES[self.position()]
    }

    /// The field of the `RegisterPerson` command that the column fills, as a dotted path.
    #[must_use]
    pub fn path(self) -> &'static str {
        PATHS[self.position()]
    }

    /// The column of that name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        NAMES
            .iter()
            .position(|known| *known == name)
            .map(|position| COLUMNS[position])
    }

    /// Zero-based position in [`COLUMNS`].
    #[must_use]
    pub fn position(self) -> usize {
        usize::from(self as u8)
    }

    /// The column `offset` places further on, inside a place's or a related person's block.
    pub(crate) fn offset(self, offset: usize) -> Self {
        COLUMNS[self.position() + offset]
    }

    /// Whether every file must have this column.
    #[must_use]
    pub fn required(self) -> bool {
        matches!(
            self,
            Self::FormNumber
                | Self::Office
                | Self::FamilyName
                | Self::GivenName
                | Self::BirthDate
                | Self::Sex
                | Self::BirthRegistrationProvince
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_related_persons_stand_in_blocks() {
        let blocks = [
            (Column::BirthRegistrationProvince, "birth_registration_"),
            (Column::NativeProvince, "native_"),
            (Column::PermanentProvince, "permanent_"),
            (Column::TemporaryProvince, "temporary_"),
            (Column::AbsenceProvince, "absence_"),
            (Column::CurrentProvince, "current_"),
            (Column::DeathProvince, "death_"),
        ];
        for (first, prefix) in blocks {
            for (offset, part) in ["province", "district", "ward", "detail", "country"]
                .iter()
                .enumerate()
            {
                assert_eq!(first.offset(offset).name(), format!("{prefix}{part}"));
            }
        }
        let relatives = [
            (Column::FatherFamilyName, "father_"),
            (Column::MotherFamilyName, "mother_"),
            (Column::SpouseFamilyName, "spouse_"),
            (Column::RepresentativeFamilyName, "representative_"),
            (Column::HeadFamilyName, "head_"),
        ];
        let parts = [
            "family_name",
            "middle_name",
            "given_name",
            "pin",
            "cmnd",
            "nationality",
        ];
        for (first, prefix) in relatives {
            for (offset, part) in parts.iter().enumerate() {
                assert_eq!(first.offset(offset).name(), format!("{prefix}{part}"));
            }
        }
    }

    #[test]
    fn names_are_distinct_and_found_again() {
        for column in COLUMNS {
            assert_eq!(Column::of_name(column.name()), Some(*column));
        }
    }
}
