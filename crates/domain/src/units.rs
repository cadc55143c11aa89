//! The administrative units of January 2025: 63 provinces, 696 districts, 10,051 wards, and what is said of codes that
//! are not among them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::codes::FindingCode;
use crate::person::Finding;
use crate::places::{AreaCode, DistrictCode, Place, ProvinceCode, WardCode};

const UNITS_CSV: &str = include_str!("../data/administrative_units_2025-01.csv");
const PROVINCES_CSV: &str = include_str!("../data/province_codes.csv");

static CURRENT: LazyLock<Units> = LazyLock::new(Units::load);

/// A list of administrative units with their parents.
#[derive(Debug)]
pub struct Units {
    provinces: BTreeMap<ProvinceCode, Province>,
    districts: BTreeMap<DistrictCode, (ProvinceCode, &'static str)>,
    wards: BTreeMap<WardCode, (DistrictCode, &'static str)>,
}

#[derive(Debug)]
struct Province {
    name: &'static str,
    slug: String,
}

impl Units {
    /// The list compiled into this program.
    #[must_use]
    pub fn current() -> &'static Self {
        &CURRENT
    }

    /// Reads the compiled-in files. Their rows are checked by a test, so a row that does not read is left out here.
    fn load() -> Self {
        let mut units = Self {
            provinces: BTreeMap::new(),
            districts: BTreeMap::new(),
            wards: BTreeMap::new(),
        };
        for line in PROVINCES_CSV.lines().skip(1) {
            let mut cells = line.split(',');
            if let (Some(code), Some(name), Some(ascii)) =
                (cells.next(), cells.next(), cells.next())
                && let Some(code) = code.get(1..).and_then(|code| ProvinceCode::new(code).ok())
            {
                let slug = ascii
                    .to_ascii_lowercase()
                    .replace(" - ", "-")
                    .replace(' ', "-");
                units.provinces.insert(code, Province { name, slug });
            }
        }
        for line in UNITS_CSV.lines().skip(1) {
            let cells: Vec<&'static str> = line.split(',').collect();
            let [level, code, name, parent] = cells[..] else {
                continue;
            };
            match level {
                "district" => {
                    if let (Ok(code), Ok(parent)) =
                        (DistrictCode::new(code), ProvinceCode::new(parent))
                    {
                        units.districts.insert(code, (parent, name));
                    }
                }
                "ward" => {
                    if let (Ok(code), Ok(parent)) = (WardCode::new(code), DistrictCode::new(parent))
                    {
                        units.wards.insert(code, (parent, name));
                    }
                }
                _ => {}
            }
        }
        units
    }

    /// Whether the province is one of the 63.
    #[must_use]
    pub fn has_province(&self, code: ProvinceCode) -> bool {
        self.provinces.contains_key(&code)
    }

    /// Name of a province, for instance `Nghệ An`.
    #[must_use]
    pub fn province_name(&self, code: ProvinceCode) -> Option<&'static str> {
        self.provinces.get(&code).map(|province| province.name)
    }

    /// Short ASCII name of a province for commands and hosts, for instance `nghe-an`.
    #[must_use]
    pub fn province_slug(&self, code: ProvinceCode) -> Option<&str> {
        self.provinces
            .get(&code)
            .map(|province| province.slug.as_str())
    }

    /// The province with that short name.
    #[must_use]
    pub fn province_of_slug(&self, slug: &str) -> Option<ProvinceCode> {
        self.provinces
            .iter()
            .find(|(_, province)| province.slug == slug)
            .map(|(code, _)| *code)
    }

    /// Name of a district.
    #[must_use]
    pub fn district_name(&self, code: DistrictCode) -> Option<&'static str> {
        self.districts.get(&code).map(|(_, name)| *name)
    }

    /// Name of a ward.
    #[must_use]
    pub fn ward_name(&self, code: WardCode) -> Option<&'static str> {
        self.wards.get(&code).map(|(_, name)| *name)
    }

    /// The district that a ward belongs to.
    #[must_use]
    pub fn district_of_ward(&self, code: WardCode) -> Option<DistrictCode> {
        self.wards.get(&code).map(|(district, _)| *district)
    }

    /// The province that a district belongs to.
    #[must_use]
    pub fn province_of_district(&self, code: DistrictCode) -> Option<ProvinceCode> {
        self.districts.get(&code).map(|(province, _)| *province)
    }

    /// The province that a ward belongs to.
    #[must_use]
    pub fn province_of_ward(&self, code: WardCode) -> Option<ProvinceCode> {
        self.province_of_district(self.district_of_ward(code)?)
    }

    /// The province of a place in Viet Nam: as written if it is known, else from its district or ward.
    #[must_use]
    pub fn province_of(&self, place: &Place) -> Option<ProvinceCode> {
        if place.is_abroad() {
            return None;
        }
        place
            .province
            .filter(|code| self.has_province(*code))
            .or_else(|| {
                place
                    .district
                    .and_then(|code| self.province_of_district(code))
            })
            .or_else(|| place.ward.and_then(|code| self.province_of_ward(code)))
    }

    /// Whether a place in Viet Nam lies in an area. Every unit that the place names and the list knows must say so: whoever
    /// names the ward of one province and another province lies in neither. Units that are in no list say nothing, and an area
    /// that is in no list holds no place.
    #[must_use]
    pub fn lies_in(&self, place: &Place, area: AreaCode) -> bool {
        if place.is_abroad() {
            return false;
        }
        let known_district = place
            .district
            .filter(|code| self.districts.contains_key(code));
        let known_ward = place.ward.filter(|code| self.wards.contains_key(code));
        // None: the place does not name such a unit.
        let province_of_district = known_district.map(|code| self.province_of_district(code));
        let province_of_ward = known_ward.map(|code| self.province_of_ward(code));
        let in_province = |province: Option<ProvinceCode>| {
            province.is_some()
                && place.province.is_none_or(|code| Some(code) == province)
                && province_of_district.is_none_or(|code| code == province)
                && province_of_ward.is_none_or(|code| code == province)
        };
        match area {
            AreaCode::Province(code) => {
                self.has_province(code)
                    && in_province(Some(code))
                    && (place.province.is_some()
                        || known_district.is_some()
                        || known_ward.is_some())
            }
            AreaCode::District(code) => {
                let district_of_ward = known_ward.map(|ward| self.district_of_ward(ward));
                in_province(self.province_of_district(code))
                    && place.district.is_none_or(|district| district == code)
                    && district_of_ward.is_none_or(|district| district == Some(code))
                    && (place.district.is_some() || known_ward.is_some())
            }
            AreaCode::Ward(code) => {
                let district_of_ward = self.district_of_ward(code);
                known_ward == Some(code)
                    && in_province(self.province_of_ward(code))
                    && place
                        .district
                        .is_none_or(|district| Some(district) == district_of_ward)
            }
        }
    }

    /// Adds what could not be confirmed about a place: codes in no known list, and parents that do not fit.
    /// Nothing is refused: forms of 2021 name units that are gone.
    pub fn findings(&self, place: &Place, field: &str, findings: &mut Vec<Finding>) {
        if place.is_abroad() {
            return;
        }
        let mut add = |code, part: &str| {
            findings.push(Finding {
                code,
                field: format!("{field}.{part}"),
            })
        };
        if place.province.is_some_and(|code| !self.has_province(code)) {
            add(FindingCode::ProvinceCodeUnknown, "province");
        }
        if let Some(code) = place.district {
            match self.province_of_district(code) {
                None => add(FindingCode::DistrictCodeUnknown, "district"),
                Some(parent) if place.province.is_some_and(|province| province != parent) => {
                    add(FindingCode::DistrictNotInProvince, "district");
                }
                Some(_) => {}
            }
        }
        if let Some(code) = place.ward {
            match self.district_of_ward(code) {
                None => add(FindingCode::WardCodeUnknown, "ward"),
                Some(parent) if place.district.is_some_and(|district| district != parent) => {
                    add(FindingCode::WardNotInDistrict, "ward");
                }
                Some(_)
                    if place.district.is_none()
                        && place.province.is_some()
                        && place.province != self.province_of_ward(code) =>
                {
                    add(FindingCode::WardNotInProvince, "ward");
                }
                Some(_) => {}
            }
        }
    }

    /// All provinces in the order of their codes, with their names.
    pub fn provinces(&self) -> impl Iterator<Item = (ProvinceCode, &'static str)> + '_ {
        self.provinces
            .iter()
            .map(|(code, province)| (*code, province.name))
    }

    /// All wards with their district and province, in the order of their codes.
    pub fn wards(&self) -> impl Iterator<Item = (WardCode, DistrictCode, ProvinceCode)> + '_ {
        self.wards.iter().filter_map(|(ward, (district, _))| {
            Some((*ward, *district, self.province_of_district(*district)?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_files_reads() {
        let units = Units::current();
        assert_eq!(units.provinces.len(), 63);
        assert_eq!(units.districts.len(), 696);
        assert_eq!(units.wards.len(), 10_051);
        assert_eq!(
            units.wards().count(),
            10_051,
            "every ward must have a district and a province"
        );
        assert_eq!(UNITS_CSV.lines().count(), 1 + 63 + 696 + 10_051);
        assert!(
            units
                .districts
                .values()
                .all(|(province, _)| units.has_province(*province))
        );
    }

    #[test]
    fn provinces_are_found_by_their_short_names() {
        let units = Units::current();
        let nghe_an = units.province_of_slug("nghe-an").unwrap();
        assert_eq!(nghe_an.as_str(), "40");
        assert_eq!(units.province_name(nghe_an), Some("Nghệ An"));
        assert_eq!(
            units.province_of_slug("ba-ria-vung-tau").unwrap().as_str(),
            "77"
        );
        for (code, _) in units.provinces() {
            let slug = units.province_slug(code).unwrap();
            assert!(
                slug.split('-')
                    .all(|word| !word.is_empty()
                        && word.bytes().all(|byte| byte.is_ascii_lowercase()))
            );
            assert_eq!(units.province_of_slug(slug), Some(code));
        }
    }

    #[test]
    fn unknown_and_contradicting_codes_are_findings() {
        let place = Place {
            province: Some(ProvinceCode::new("40").unwrap()),
            district: Some(DistrictCode::new("001").unwrap()),
            ward: Some(WardCode::new("99999").unwrap()),
            ..Place::default()
        };
        let mut findings = Vec::new();
        Units::current().findings(&place, "native_place", &mut findings);
        let codes: Vec<FindingCode> = findings.iter().map(|finding| finding.code).collect();
        assert_eq!(
            codes,
            [
                FindingCode::DistrictNotInProvince,
                FindingCode::WardCodeUnknown
            ]
        );
        assert_eq!(findings[1].field, "native_place.ward");
    }
}
