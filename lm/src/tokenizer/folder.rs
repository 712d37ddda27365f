//! What stands beside a `tokenizer.json`: read with it, and written with it.
use super::{
    Frame, Tokenizer,
    ends::{GENERATION, generation, optional},
    framed,
};
use rlx::{Error, Result};
use serde_json::{Map, Value as Json, json};
use std::path::Path;
use tokenizers::{AddedToken, Tokenizer as Inner};

const CONFIG: &str = "tokenizer_config.json";
const SPECIAL: &str = "special_tokens_map.json";
/// Files that are kept as they are.
const KEPT: &[&str] = &[CONFIG, SPECIAL, "chat_template.jinja", "chat_template.json"];

/// A token as these files write it: its text, or an object with it.
fn text(json: &Json) -> Option<&str> {
    json.as_str().or_else(|| json["content"].as_str())
}

impl Tokenizer {
    /// With what stands beside its file.
    pub(super) fn beside(mut inner: Inner, path: &Path) -> Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut files = Vec::new();
        for name in KEPT {
            if let Some(text) = optional(&folder.join(name))? {
                files.push(((*name).to_owned(), text));
            }
        }
        let object = |name: &str| match files.iter().find(|(n, _)| n == name) {
            None => Ok(Map::new()),
            Some((_, text)) => serde_json::from_str(text).map_err(|e| Error::corrupt(folder.join(name), e.to_string())),
        };
        let (config, special): (Map<String, Json>, _) = (object(CONFIG)?, object(SPECIAL)?);
        let at = folder.join(CONFIG);
        decoder(&mut inner, &config, &at)?;
        let named = |key: &str| config.get(key).and_then(text).or_else(|| special.get(key).and_then(text));
        for key in ["bos_token", "eos_token", "unk_token", "pad_token"] {
            // transformers finds in a text whatever it is told is special, also where tokenizer.json has it as a plain token.
            if let Some(token) = named(key).filter(|t| inner.token_to_id(t).is_some()) {
                inner.add_special_tokens(&[AddedToken::from(token, true).normalized(false)]);
            }
        }
        let id = |key: &str, inner: &Inner| named(key).and_then(|t| inner.token_to_id(t));
        let [bos, eos, unknown, padding] = ["bos_token", "eos_token", "unk_token", "pad_token"].map(|k| id(k, &inner));
        let flag = |key: &str| match config.get(key) {
            None | Some(Json::Null) => Ok(None),
            Some(Json::Bool(x)) => Ok(Some(*x)),
            Some(other) => Err(Error::invalid(format!("{}: {key} is {other}; it must be true or false", at.display()))),
        };
        let (add_bos, add_eos) = (flag("add_bos_token")?, flag("add_eos_token")?);
        let mut out = Self::new(inner)?;
        // transformers 4 and llama.cpp's converter go by the flags, transformers 5 by the post-processor alone: where they agree, and where
        // one of them is silent, there is no doubt.
        let Frame { mut before, mut after } = out.frame.clone();
        for (flag, key, token, side) in
            [(add_bos, "add_bos_token", bos, &mut before), (add_eos, "add_eos_token", eos, &mut after)]
        {
            match (flag, side.is_empty()) {
                (Some(true), true) => side.push(token.ok_or_else(|| {
                    Error::invalid(format!("{}: {key} is true, but no token is named for it", at.display()))
                })?),
                (Some(false), false) => {
                    out.doubt = Some(format!(
                        "{}: {key} is false, but the post-processor of tokenizer.json adds such a token: which of them holds is not known",
                        at.display()
                    ));
                }
                _ => {}
            }
        }
        if (&before, &after) != (&out.frame.before, &out.frame.after) {
            framed(&mut out.inner, before.first().copied(), after.first().copied())?;
            out.frame = Frame { before, after };
        }
        (out.bos, out.eos, out.unknown, out.padding) =
            (bos.or(out.frame.before.first().copied()), eos, unknown, padding);
        out.template = template(&config, &files);
        out.generation = generation(folder)?.unwrap_or_default();
        out.ends.clone_from(&out.generation.ends);
        (out.files, out.config) = (files, config);
        Ok(out)
    }

    /// The files beside a `tokenizer.json`, that one included.
    fn files(&self) -> Result<Vec<(String, String)>> {
        let mut out = vec![("tokenizer.json".to_owned(), self.to_json()?)];
        out.extend(self.files.iter().cloned());
        let has = |name: &str| self.files.iter().any(|(n, _)| n == name);
        let names = [("bos", self.bos), ("eos", self.eos), ("unk", self.unknown), ("pad", self.padding)];
        let named = names.iter().filter_map(|(k, id)| Some((format!("{k}_token"), json!(self.token((*id)?)?))));
        let mut config: Map<String, Json> = named.collect();
        if !has(SPECIAL) && !config.is_empty() {
            out.push((SPECIAL.into(), format!("{:#}\n", json!(config))));
        }
        if !has(CONFIG) {
            config.insert("tokenizer_class".into(), "PreTrainedTokenizerFast".into());
            config.insert("add_bos_token".into(), (!self.frame.before.is_empty()).into());
            config.insert("add_eos_token".into(), (!self.frame.after.is_empty()).into());
            config.insert("clean_up_tokenization_spaces".into(), false.into());
            if let Some(template) = self.template.as_ref().filter(|_| !has("chat_template.jinja")) {
                config.insert("chat_template".into(), template.clone().into());
            }
            out.push((CONFIG.into(), format!("{:#}\n", json!(config))));
        }
        Ok(out)
    }
}

/// Tokens that tokenizer_config.json lists: transformers takes them as added tokens also where tokenizer.json does not.
fn decoder(inner: &mut Inner, config: &Map<String, Json>, at: &Path) -> Result<()> {
    let Some(listed) = config.get("added_tokens_decoder").and_then(Json::as_object) else { return Ok(()) };
    for (id, json) in listed {
        let Some(token) = text(json) else { continue };
        let here = inner.token_to_id(token);
        if here.is_some() && here != id.parse().ok() {
            return Err(Error::invalid(format!(
                "{}: added_tokens_decoder says token {id} is '{token}', which is {} in tokenizer.json",
                at.display(),
                here.unwrap_or_default()
            )));
        }
        let flag = |key: &str| json[key].as_bool().unwrap_or(false);
        let token = AddedToken::from(token, flag("special"))
            .normalized(flag("normalized"))
            .lstrip(flag("lstrip"))
            .rstrip(flag("rstrip"))
            .single_word(flag("single_word"));
        let known = inner.get_added_tokens_decoder().contains_key(&here.unwrap_or(u32::MAX));
        if here.is_some() && !known {
            if token.special {
                inner.add_special_tokens(&[token])
            } else {
                inner.add_tokens(&[token])
            };
        }
    }
    Ok(())
}

/// The default chat template, wherever it stands.
fn template(config: &Map<String, Json>, files: &[(String, String)]) -> Option<String> {
    let own = files.iter().find(|(n, _)| n == "chat_template.jinja").map(|(_, t)| t.clone());
    own.or_else(|| match config.get("chat_template")? {
        Json::Array(all) => {
            let default = all.iter().find(|t| t["name"] == "default").or(all.first())?;
            Some(default["template"].as_str()?.into())
        }
        one => Some(one.as_str()?.into()),
    })
}

/// Writes to a folder what its model's text goes by: the tokenizer, and where a text begins and ends.
pub(crate) fn write(folder: &Path, tokenizer: Option<&Tokenizer>, bos: Option<u32>, eos: &[u32]) -> Result<()> {
    let mut files = tokenizer.map(Tokenizer::files).transpose()?.unwrap_or_default();
    let mut generation = tokenizer.map(|t| t.generation.json.clone()).unwrap_or_default();
    if !generation.is_empty() || bos.is_some() || !eos.is_empty() {
        let ends = match eos {
            [] => Json::Null,
            [one] => json!(one),
            several => json!(several),
        };
        generation.entry("bos_token_id").or_insert(json!(bos));
        generation.insert("eos_token_id".into(), ends);
        files.push((GENERATION.into(), format!("{:#}\n", json!(generation))));
    }
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|e| Error::io("writing", path, e))?;
    }
    Ok(())
}
