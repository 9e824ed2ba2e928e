//! Places in a row of numbers.

/// The number that such a share of the others is below, between two of them if need be.
///
/// # Panics
///
/// If there are no numbers.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    sorted[below] + (sorted[above] - sorted[below]) * place.fract()
}
