//! Paths as people type, paste and drop them.

use std::path::{Path, PathBuf};

/// The file that is meant: as typed, or else without the quotes and backslashes that a terminal puts around a dropped file.
pub(super) fn meant(typed: &str, home: Option<&Path>) -> PathBuf {
    let typed = typed.trim();
    let as_typed = in_home(typed, home);
    if as_typed.exists() {
        return as_typed;
    }
    let unquoted = in_home(&unquoted(typed), home);
    if unquoted.exists() { unquoted } else { as_typed }
}

/// `~/` is the home folder.
pub(super) fn in_home(path: &str, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

fn unquoted(path: &str) -> String {
    for quote in ['\'', '"'] {
        if let Some(inner) = path.strip_prefix(quote).and_then(|path| path.strip_suffix(quote)) {
            return inner.to_owned();
        }
    }
    let mut plain = String::new();
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_file_is_found_whatever_the_terminal_puts_around_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("my file.txt");
        std::fs::write(&file, "x").unwrap();
        let plain = file.to_str().unwrap();
        for typed in [plain.to_owned(), format!("'{plain}' "), format!("\"{plain}\""), plain.replace(' ', "\\ ")] {
            assert_eq!(meant(&typed, None), file, "{typed}");
        }
        assert_eq!(meant("~/my file.txt", Some(folder.path())), file);
        assert_eq!(meant("not/there", None), Path::new("not/there"));
    }
}
