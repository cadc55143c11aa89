//! Administrative units for people: what lies above a code, and what a code is called.

use banyan_domain::{DistrictCode, ProvinceCode, Units, WardCode};
use banyan_wire::v1;

/// Fills in the district and province above a known ward or district. What is there already stays.
pub(crate) fn complete(place: &mut v1::Place) {
    let units = Units::current();
    if place.district.is_empty()
        && let Some(district) = WardCode::new(&place.ward)
            .ok()
            .and_then(|code| units.district_of_ward(code))
    {
        district.as_str().clone_into(&mut place.district);
    }
    if place.province.is_empty()
        && let Some(province) = DistrictCode::new(&place.district)
            .ok()
            .and_then(|code| units.province_of_district(code))
    {
        province.as_str().clone_into(&mut place.province);
    }
}

/// A place in words: address, ward, district, province. A code that the list does not hold is shown as it is.
pub(crate) fn describe(place: &v1::Place) -> String {
    let units = Units::current();
    let ward = WardCode::new(&place.ward)
        .ok()
        .and_then(|code| units.ward_name(code));
    let district = DistrictCode::new(&place.district)
        .ok()
        .and_then(|code| units.district_name(code));
    let province = ProvinceCode::new(&place.province)
        .ok()
        .and_then(|code| units.province_name(code));
    let mut parts = Vec::new();
    if !place.detail.is_empty() {
        parts.push(place.detail.clone());
    }
    for (name, code) in [
        (ward, &place.ward),
        (district, &place.district),
        (province, &place.province),
    ] {
        match name {
            Some(name) => parts.push(name.to_owned()),
            None if !code.is_empty() => parts.push(format!("[{code}]")),
            None => {}
        }
    }
    if !matches!(place.country.as_str(), "" | "VN") {
        parts.push(place.country.clone());
    }
    parts.join(", ")
}
