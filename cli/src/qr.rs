//! A link as a QR code of half blocks: two modules to a character, which makes them square on a screen.

use qrcode::{Color, EcLevel, QrCode};

/// Black and white of the fixed colour cube: no theme changes them, and a camera needs the contrast.
pub(crate) const BLACK: u8 = 16;
/// See [`BLACK`].
pub(crate) const WHITE: u8 = 231;

/// Modules of white around the code, by the standard. Cameras of phones manage with less.
const QUIET: usize = 4;
const LEAST_QUIET: usize = 1;

/// A QR code.
#[derive(Clone, Debug)]
pub(crate) struct Qr {
    width: usize,
    modules: Vec<Color>,
}

impl Qr {
    /// `None` for a text that is longer than any QR code, which no link is.
    pub(crate) fn new(text: &str) -> Option<Self> {
        // A screen is not torn or stained: the lowest correction gives the largest modules.
        let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
        Some(Self { width: code.width(), modules: code.into_colors() })
    }

    /// The rows of characters that fit, with as much white around the code as there is room for: to be printed black
    /// on white. `None` if it does not fit.
    pub(crate) fn rows_within(&self, columns: usize, rows: usize) -> Option<Vec<String>> {
        (LEAST_QUIET..=QUIET).rev().find_map(|quiet| {
            let side = self.width + 2 * quiet;
            (side <= columns && side.div_ceil(2) <= rows).then(|| self.rows(quiet))
        })
    }

    /// The code for a terminal that scrolls, with its colours.
    pub(crate) fn ansi(&self) -> String {
        let rows = self.rows(QUIET).into_iter();
        rows.map(|row| format!("\u{1b}[38;5;{BLACK};48;5;{WHITE}m{row}\u{1b}[0m\n")).collect()
    }

    fn rows(&self, quiet: usize) -> Vec<String> {
        let side = self.width + 2 * quiet;
        (0..side)
            .step_by(2)
            .map(|y| {
                (0..side)
                    .map(|x| match (self.is_dark(x, y, quiet), self.is_dark(x, y + 1, quiet)) {
                        (true, true) => '█',
                        (true, false) => '▀',
                        (false, true) => '▄',
                        (false, false) => ' ',
                    })
                    .collect()
            })
            .collect()
    }

    fn is_dark(&self, x: usize, y: usize, quiet: usize) -> bool {
        let (Some(x), Some(y)) = (x.checked_sub(quiet), y.checked_sub(quiet)) else { return false };
        x < self.width && self.modules.get(y * self.width + x) == Some(&Color::Dark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: &str = "tacit:AQEYd3M6Ly9yZWxheS5leGFtcGxlOjc0NDMAAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUm";

    /// What a camera sees of black half blocks on white, a few pixels to a module.
    fn scan(rows: &[String]) -> String {
        const SCALE: usize = 4;
        let cells: Vec<Vec<char>> = rows.iter().map(|row| row.chars().collect()).collect();
        let mut image =
            rqrr::PreparedImage::prepare_from_greyscale(cells[0].len() * SCALE, rows.len() * 2 * SCALE, |x, y| {
                let (module, is_lower) = (cells[y / SCALE / 2][x / SCALE], y / SCALE % 2 == 1);
                match module {
                    '█' => 0,
                    '▀' if !is_lower => 0,
                    '▄' if is_lower => 0,
                    _ => 255,
                }
            });
        let grids = image.detect_grids();
        assert_eq!(grids.len(), 1, "one code in sight");
        grids[0].decode().unwrap().1
    }

    #[test]
    fn a_scanned_code_gives_the_link() {
        let qr = Qr::new(LINK).unwrap();
        assert_eq!(scan(&qr.rows_within(200, 100).unwrap()), LINK);
    }

    #[test]
    fn on_a_usual_terminal_it_still_fits_and_scans() {
        let rows = Qr::new(LINK).unwrap().rows_within(80, 24).unwrap();
        assert!(rows.len() <= 24 && rows.iter().all(|row| row.chars().count() <= 80));
        assert_eq!(scan(&rows), LINK);
    }

    #[test]
    fn where_it_does_not_fit_there_is_none() {
        assert!(Qr::new(LINK).unwrap().rows_within(80, 10).is_none());
        assert!(Qr::new(LINK).unwrap().rows_within(20, 100).is_none());
    }
}
