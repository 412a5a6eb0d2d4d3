//! Which files of a repository make a model.

/// The tokenizer's files besides its vocabulary, taken where they are.
const TOKENIZER_EXTRAS: [&str; 2] = ["tokenizer_config.json", "special_tokens_map.json"];
/// Endings of weights that are programs or of other frameworks.
const OTHER_WEIGHTS: [&str; 8] =
    [".bin", ".pt", ".pth", ".ckpt", ".ot", ".h5", ".msgpack", ".onnx"];

/// What to download.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Configuration and tokenizer.
    pub(crate) small: Vec<String>,
    pub(crate) weights: Weights,
}

/// Where the weights are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Weights {
    /// In one file.
    Whole(String),
    /// In several, which this one names.
    Shards(String),
}

/// A way to publish a model.
struct Layout {
    config: &'static str,
    /// Whole weights, in the order in which the import looks for them.
    whole: &'static [&'static str],
    /// Names the shards.
    index: &'static str,
    preprocessor: &'static [&'static str],
}

/// The preferred one first: OpenCLIP's says how pictures were prepared in training and which activation the towers
/// have, and in repositories made by `timm` the other `model.safetensors` is an image tower alone.
const LAYOUTS: [Layout; 2] = [
    Layout {
        config: "open_clip_config.json",
        whole: &["open_clip_model.safetensors", "open_clip_pytorch_model.safetensors"],
        index: "open_clip_model.safetensors.index.json",
        preprocessor: &[],
    },
    Layout {
        config: "config.json",
        whole: &["model.safetensors"],
        index: "model.safetensors.index.json",
        preprocessor: &["preprocessor_config.json"],
    },
];

/// Chooses the files that an import needs out of a repository's list, by the first layout that is whole.
///
/// # Errors
/// What is missing, as a sentence.
pub(crate) fn choose(files: &[String]) -> Result<Wanted, String> {
    let has = |name: &&str| files.iter().any(|file| file == name);
    let found = LAYOUTS.iter().filter(|layout| has(&layout.config)).find_map(|layout| {
        let whole =
            layout.whole.iter().find(|name| has(name)).map(|&name| Weights::Whole(name.into()));
        let shards = || has(&layout.index).then(|| Weights::Shards(layout.index.into()));
        Some((layout, whole.or_else(shards)?))
    });
    let (layout, weights) = found.ok_or_else(|| missing(files))?;
    let vocabulary: &[&str] = match has(&"tokenizer.json") {
        true => &["tokenizer.json"],
        false if has(&"vocab.json") && has(&"merges.txt") => &["vocab.json", "merges.txt"],
        false => return Err("it has no tokenizer.json, nor vocab.json with merges.txt".into()),
    };
    let extras = layout.preprocessor.iter().chain(&TOKENIZER_EXTRAS).filter(|name| has(name));
    let small = std::iter::once(&layout.config).chain(vocabulary).chain(extras);
    Ok(Wanted { small: small.map(|&name| name.to_owned()).collect(), weights })
}

/// The files that an index spreads the weights over.
///
/// # Errors
/// What is wrong with it, as a sentence.
pub(crate) fn shards(index: &[u8], files: &[String]) -> Result<Vec<String>, String> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: std::collections::BTreeMap<String, String>,
    }
    let index: Index = serde_json::from_slice(index).map_err(|error| error.to_string())?;
    let mut shards: Vec<String> = index.weight_map.into_values().collect();
    shards.sort();
    shards.dedup();
    for shard in &shards {
        // The list is also what keeps `../` out.
        if !files.contains(shard) || !is_plain(shard) || !shard.ends_with(".safetensors") {
            return Err(format!("it names {shard:?}, which is no .safetensors file beside it"));
        }
    }
    if shards.is_empty() { Err("it names no file".into()) } else { Ok(shards) }
}

/// Whether a name can stand in an address and in a directory as it is.
pub(crate) fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !name.is_empty() && !name.starts_with('.') && name.chars().all(plain)
}

/// Why there is no model, and what to do.
fn missing(files: &[String]) -> String {
    let other = files.iter().find(|file| OTHER_WEIGHTS.iter().any(|end| file.ends_with(end)));
    let has_weights = files.iter().any(|file| file.ends_with(".safetensors"));
    match other {
        Some(other) if !has_weights => format!(
            "only .safetensors is read, and the repository has none, only {other:?}; look for another repository of the \
             model, or for a conversion among its pull requests (REPO@refs/pr/1)"
        ),
        _ => "it has neither open_clip_config.json with open_clip_model.safetensors, nor config.json with \
              model.safetensors, so that it is no model this program can import"
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    /// What is chosen, the weights last.
    fn chosen(files: &str) -> Vec<String> {
        let Wanted { mut small, weights } = choose(&names(files)).unwrap();
        small.push(match weights {
            Weights::Whole(name) => name,
            Weights::Shards(index) => format!("{index}+"),
        });
        small
    }

    #[test]
    fn only_what_an_import_needs_is_chosen() {
        let hugging_face = "README.md config.json flax_model.msgpack merges.txt model.safetensors preprocessor_config.json \
             pytorch_model.bin special_tokens_map.json tokenizer.json tokenizer_config.json vocab.json";
        assert_eq!(
            chosen(hugging_face),
            names(
                "config.json tokenizer.json preprocessor_config.json tokenizer_config.json \
                 special_tokens_map.json model.safetensors"
            )
        );
        assert_eq!(
            chosen("config.json vocab.json merges.txt model.safetensors.index.json"),
            names("config.json vocab.json merges.txt model.safetensors.index.json+")
        );
        // As in timm/resnet50_clip.cc12m, whose model.safetensors is an image tower.
        assert_eq!(
            chosen(
                "config.json model.safetensors open_clip_config.json open_clip_model.safetensors vocab.json merges.txt"
            ),
            names("open_clip_config.json vocab.json merges.txt open_clip_model.safetensors")
        );
        // As in laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K once, where only the other layout is safe.
        assert_eq!(
            chosen(
                "config.json model.safetensors open_clip_config.json open_clip_pytorch_model.bin tokenizer.json"
            ),
            names("config.json tokenizer.json model.safetensors")
        );
        // As in pull requests of the conversion service.
        assert_eq!(
            chosen(
                "config.json model.safetensors open_clip_config.json open_clip_pytorch_model.safetensors tokenizer.json"
            ),
            names("open_clip_config.json tokenizer.json open_clip_pytorch_model.safetensors")
        );
    }

    #[test]
    fn a_repository_of_programs_is_told_from_one_of_something_else() {
        let reason = |files: &str| choose(&names(files)).unwrap_err();
        assert!(reason("config.json pytorch_model.bin").contains("only .safetensors is read"));
        assert!(reason("open_clip_config.json x.pt").contains("\"x.pt\""));
        assert!(reason("config.json unet.safetensors x.bin").contains("neither"));
        assert!(reason("README.md").contains("neither"));
        assert!(reason("config.json model.safetensors vocab.json").contains("tokenizer.json"));
    }

    #[test]
    fn shards_are_files_of_the_repository() {
        let files = names("a.safetensors b.safetensors ../c.safetensors d.bin");
        let of = |map: &str| shards(format!("{{\"weight_map\": {map}}}").as_bytes(), &files);
        let two = of(r#"{"x": "b.safetensors", "y": "a.safetensors", "z": "b.safetensors"}"#);
        assert_eq!(two.unwrap(), names("a.safetensors b.safetensors"));
        for map in
            ["{}", r#"{"x": "e.safetensors"}"#, r#"{"x": "../c.safetensors"}"#, r#"{"x": "d.bin"}"#]
        {
            assert!(of(map).is_err(), "{map}");
        }
    }
}
