//! The crisis card as a file that a person writes: `[{"locale": "en", "advice": "…", "calls": [{"who": "…", "at":
//! "…"}]}]`. The first text is for whoever reads none of the others.

use serde::{Deserialize, Serialize};
use tacit_client_core::{CrisisCall, CrisisCard, CrisisText};

use crate::failure::Failure;

/// One language of the file.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TextFile {
    locale: String,
    advice: String,
    #[serde(default)]
    calls: Vec<CallFile>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct CallFile {
    who: String,
    at: String,
}

/// Reads the file.
pub(super) fn parse(text: &str) -> Result<CrisisCard, Failure> {
    let file: Vec<TextFile> = serde_json::from_str(text).map_err(|error| Failure::BadFile(error.to_string()))?;
    let texts = file.into_iter().map(|TextFile { locale, advice, calls }| {
        let calls = calls.into_iter().map(|CallFile { who, at }| CrisisCall { who, at }).collect();
        CrisisText { locale, advice, calls }
    });
    Ok(CrisisCard { texts: texts.collect() })
}

/// As it is read by [`parse`].
pub(super) fn file(card: &CrisisCard) -> Vec<TextFile> {
    let text = |text: &CrisisText| TextFile {
        locale: text.locale.clone(),
        advice: text.advice.clone(),
        calls: text.calls.iter().map(|call| CallFile { who: call.who.clone(), at: call.at.clone() }).collect(),
    };
    card.texts.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_as_it_is_read_and_keeps_its_first_language_first() {
        let text = r#"[{"locale":"fr","advice":"Appelez","calls":[{"who":"La ligne","at":"143"}]},{"locale":"de","advice":"Ruf an","calls":[]}]"#;
        let card = parse(text).unwrap();
        assert_eq!(card.texts[0].locale, "fr");
        assert_eq!(serde_json::to_string(&file(&card)).unwrap(), text);
        let misspelt = r#"[{"locale":"en","advise":"x"}]"#;
        assert!(matches!(parse(misspelt), Err(Failure::BadFile(why)) if why.contains("advise")));
    }
}
