//! Published families: checkpoints in the layouts of transformers and OpenCLIP, imported and compared with the values of
//! the reference implementations (`scripts/families.py`), and everything that an import must refuse.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "these are tests")]
#![cfg(feature = "torch")]

use std::fs;
use std::path::{Path, PathBuf};

use mmsearch::encoder::{Agreement, Device, DualEncoder, Encoder, Precision, Runtime, import};
use mmsearch::{Embedding, ErrorKind, Pixels};
use safetensors::SafeTensors;
use serde_json::{Value, json};
use tempfile::TempDir;

const FAMILIES: [&str; 5] = ["openclip-resnet", "openclip-vit", "clip", "siglip", "siglip2"];

fn checkpoint(family: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/families").join(family)
}

/// A copy of a checkpoint, to be damaged, and a place for the model.
fn copy(family: &str) -> (TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    for entry in fs::read_dir(checkpoint(family)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, source.join(path.file_name().unwrap())).unwrap();
    }
    let to = dir.path().join("models/imported");
    (dir, source, to)
}

fn imported(family: &str) -> (TempDir, DualEncoder) {
    let (dir, source, to) = copy(family);
    import(&source, family, &to).unwrap_or_else(|error| panic!("{family}: {error}"));
    (dir, DualEncoder::load(&to, Device::Cpu).unwrap())
}

/// The values of the reference, by name.
struct Expected(Vec<u8>);

impl Expected {
    fn of(family: &str) -> Self {
        Self(fs::read(checkpoint(family).join("expected.safetensors")).unwrap())
    }

    fn tensors(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.0).unwrap()
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        let tensors = self.tensors();
        let bytes = tensors.tensor(name).unwrap().data().to_vec();
        bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
    }

    fn layers(&self) -> Vec<usize> {
        let number = |name: &String| name.strip_prefix("image.layer.")?.parse().ok();
        let tensors = self.tensors();
        let mut layers: Vec<usize> =
            tensors.names().iter().filter_map(|n| number(&n.to_string())).collect();
        layers.sort_unstable();
        layers
    }

    fn pictures(&self) -> Vec<Pixels> {
        let tensors = self.tensors();
        let view = tensors.tensor("image.input").unwrap();
        let side = view.shape()[1];
        let rows = view.data().chunks(side * side * 3);
        rows.map(|rgb| Pixels::new(side as u32, side as u32, rgb.to_vec()).unwrap()).collect()
    }
}

#[test]
fn every_family_gives_the_values_of_its_reference() {
    for family in FAMILIES {
        let (_dir, mut model) = imported(family);
        let found = model.verify(&checkpoint(family).join("expected.safetensors")).unwrap();
        assert!(is_equal(found), "{family}: {found:?}");
    }
}

/// Closer than a golden file asks for: two blocks are too few for a slightly wrong activation to add up.
fn is_equal(found: Agreement) -> bool {
    let least = found.image_features.min(found.image_embeddings).min(found.text_embeddings);
    found.same_tokens && least > 0.999_999
}

#[test]
fn every_layer_gives_the_values_of_its_reference() {
    for family in FAMILIES {
        let (_dir, mut model) = imported(family);
        let expected = Expected::of(family);
        let (pictures, layers) = (expected.pictures(), expected.layers());
        assert!(layers.len() >= 2, "{family}: {layers:?}");
        for layer in layers {
            let found = model.image_layer_input(&pictures, layer).unwrap();
            let wanted = expected.floats(&format!("image.layer.{layer:02}"));
            assert_eq!(found.len(), wanted.len());
            let largest = wanted.iter().fold(0f32, |a, b| a.max(b.abs()));
            let difference = found.iter().zip(&wanted).fold(0f32, |a, (x, y)| a.max((x - y).abs()));
            assert!(
                difference <= 1e-4 * largest,
                "{family}, layer {layer}: {difference} of {largest}"
            );
        }
    }
}

/// The control of the two tests above: one block taken as another is seen.
#[test]
fn a_wrong_activation_is_seen() {
    for (family, file, from, to) in [
        (
            "openclip-vit",
            "open_clip_config.json",
            "\"embed_dim\"",
            "\"quick_gelu\": true, \"embed_dim\"",
        ),
        ("clip", "config.json", "quick_gelu", "gelu"),
        ("siglip", "config.json", "gelu_pytorch_tanh", "relu"),
    ] {
        let (_dir, source, to_dir) = copy(family);
        let text = fs::read_to_string(source.join(file)).unwrap();
        assert!(text.contains(from), "{family}: {from}");
        fs::write(source.join(file), text.replace(from, to)).unwrap();
        import(&source, family, &to_dir).unwrap();
        let mut model = DualEncoder::load(&to_dir, Device::Cpu).unwrap();
        let found = model.verify(&checkpoint(family).join("expected.safetensors")).unwrap();
        assert!(!is_equal(found), "{family}: {found:?}");
    }
}

#[test]
fn texts_of_any_length_give_the_same_values_alone_and_together() {
    for family in FAMILIES {
        let (_dir, mut model) = imported(family);
        let texts =
            ["x", "a dog runs", "", "a very long sentence about the water and the beach", "dog"];
        let together = model.encode_texts(&texts).unwrap();
        for (text, row) in texts.iter().zip(&together) {
            let alone = model.encode_texts(&[text]).unwrap();
            assert!(cosine(&alone[0], row) > 0.99999, "{family}: {text:?}");
        }
    }
}

#[test]
fn half_precision_is_close_and_has_its_own_fingerprint() {
    for family in FAMILIES {
        let (_dir, source, to) = copy(family);
        import(&source, family, &to).unwrap();
        let pictures = Expected::of(family).pictures();
        let load = |precision| {
            let runtime = Runtime { device: Device::Cpu, precision };
            let mut model = DualEncoder::load(&to, runtime).unwrap();
            let rows =
                [model.encode_images(&pictures).unwrap(), model.encode_texts(&["a dog"]).unwrap()];
            (model.space().fingerprint.clone(), rows.concat())
        };
        let (fingerprint, exact) = load(Precision::F32);
        for precision in [Precision::Bf16, Precision::F16] {
            let (other, rows) = load(precision);
            assert_ne!(other, fingerprint);
            for (a, b) in exact.iter().zip(&rows) {
                let cosine = cosine(a, b);
                assert!(cosine > 0.99, "{family}, {precision:?}: {cosine}");
            }
        }
    }
}

#[test]
fn truncation_is_told() {
    for family in FAMILIES {
        let (_dir, mut model) = imported(family);
        assert!(model.reads_whole("a dog").unwrap(), "{family}");
        assert!(!model.reads_whole(&"a dog ".repeat(40)).unwrap(), "{family}");
    }
}

fn cosine(a: &Embedding, b: &Embedding) -> f32 {
    a.as_slice().iter().zip(b.as_slice()).map(|(x, y)| x * y).sum()
}

/// What an import says of a damaged checkpoint; nothing may be left of it.
fn refusal(source: &Path, to: &Path) -> String {
    let Err(error) = import(source, "x", to) else { panic!("it was imported") };
    assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
    let parent = to.parent().unwrap();
    let left = if parent.exists() { fs::read_dir(parent).unwrap().count() } else { 0 };
    assert_eq!(left, 0, "something is left in {}", parent.display());
    let message = error.to_string();
    assert!(!message.contains('\n'), "one line: {message}");
    message
}

/// A checkpoint's tensors as type, shape and bytes, changed and written again.
fn change_weights(
    path: &Path,
    change: impl FnOnce(&mut Vec<(String, safetensors::Dtype, Vec<usize>, Vec<u8>)>),
) {
    let bytes = fs::read(path).unwrap();
    let parsed = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Vec<_> = parsed
        .tensors()
        .into_iter()
        .map(|(name, view)| (name, view.dtype(), view.shape().to_vec(), view.data().to_vec()))
        .collect();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    change(&mut tensors);
    let views = tensors.iter().map(|(name, dtype, shape, data)| {
        (name.as_str(), safetensors::tensor::TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn damaged_weights_are_refused_by_name() {
    const NAME: &str = "text_model.final_layer_norm.weight";
    type Change = fn(&mut Vec<(String, safetensors::Dtype, Vec<usize>, Vec<u8>)>);
    let cases: [(&str, Change); 6] = [
        ("it is missing", |all| all.retain(|(name, ..)| name != NAME)),
        ("configuration does not know it", |all| {
            let mut extra = all.iter().find(|(name, ..)| name == NAME).unwrap().clone();
            extra.0 = format!("{NAME}.extra");
            all.push(extra);
        }),
        ("shape", |all| {
            let tensor = all.iter_mut().find(|(name, ..)| name == NAME).unwrap();
            (tensor.2, tensor.3) = (vec![1], tensor.3[..4].to_vec());
        }),
        ("not finite", |all| {
            let tensor = all.iter_mut().find(|(name, ..)| name == NAME).unwrap();
            tensor.3[..4].copy_from_slice(&f32::NAN.to_le_bytes());
        }),
        ("I64", |all| {
            let tensor = all.iter_mut().find(|(name, ..)| name == NAME).unwrap();
            tensor.1 = safetensors::Dtype::I64;
            tensor.3 = vec![0; tensor.2.iter().product::<usize>() * 8];
        }),
        ("F64", |all| {
            let tensor = all.iter_mut().find(|(name, ..)| name == NAME).unwrap();
            tensor.1 = safetensors::Dtype::F64;
            tensor.3 = vec![0; tensor.2.iter().product::<usize>() * 8];
        }),
    ];
    for (said, change) in cases {
        let (_dir, source, to) = copy("clip");
        change_weights(&source.join("model.safetensors"), change);
        let message = refusal(&source, &to);
        assert!(message.contains(said) && message.contains(NAME), "{said}: {message}");
    }
    // The control: writing the same tensors again changes nothing.
    let (_dir, source, to) = copy("clip");
    change_weights(&source.join("model.safetensors"), |_| ());
    import(&source, "x", &to).unwrap();
}

#[test]
fn damaged_shards_are_refused() {
    let shard = "model-00002-of-00004.safetensors";
    let index = "model.safetensors.index.json";
    let (_dir, source, to) = copy("siglip2");
    let bytes = fs::read(source.join(shard)).unwrap();
    fs::write(source.join(shard), &bytes[..bytes.len() - 100]).unwrap();
    assert!(refusal(&source, &to).contains(shard));

    let (_dir, source, to) = copy("siglip2");
    fs::remove_file(source.join(shard)).unwrap();
    assert!(refusal(&source, &to).contains(shard));

    let (_dir, source, to) = copy("siglip2");
    let text = fs::read_to_string(source.join(index)).unwrap();
    fs::write(source.join(index), text.replace(shard, "../source/stolen.safetensors")).unwrap();
    assert!(refusal(&source, &to).contains("not a file beside it"));

    let (_dir, source, to) = copy("siglip2");
    fs::write(source.join(index), "{\"weight_map\": 3}").unwrap();
    assert!(refusal(&source, &to).contains(index));

    let (_dir, source, to) = copy("siglip2");
    fs::copy(source.join(shard), source.join("twice.safetensors")).unwrap();
    let mut parsed: Value =
        serde_json::from_str(&fs::read_to_string(source.join(index)).unwrap()).unwrap();
    parsed["weight_map"]["again"] = json!("twice.safetensors");
    fs::write(source.join(index), parsed.to_string()).unwrap();
    assert!(refusal(&source, &to).contains("in two files"));
}

#[test]
fn contradictions_are_refused_and_named() {
    let edit = |path: PathBuf, change: &dyn Fn(&mut Value)| {
        let mut config: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        change(&mut config);
        fs::write(path, config.to_string()).unwrap();
    };
    type Case<'a> = (&'a str, &'a str, &'a dyn Fn(&mut Value), &'a str);
    let cases: [Case; 11] = [
        (
            "clip",
            "config.json",
            &|c| c["text_config"]["num_hidden_layers"] = json!(1_000_000_000_000i64),
            "1000000000000",
        ),
        (
            "openclip-resnet",
            "open_clip_config.json",
            &|c| c["model_cfg"]["vision_cfg"]["layers"] = json!([1_000_000_000_000i64, 1, 1, 1]),
            "1000000000000",
        ),
        (
            "clip",
            "config.json",
            &|c| c["vision_config"]["intermediate_size"] = json!(40),
            "mlp.fc1.weight",
        ),
        ("clip", "config.json", &|c| c["text_config"]["num_hidden_layers"] = json!(3), "layers.2."),
        ("clip", "config.json", &|c| c["text_config"]["num_hidden_layers"] = json!(1), "layers.1."),
        ("clip", "config.json", &|c| c["model_type"] = json!("blip"), "blip"),
        ("clip", "config.json", &|c| c["text_config"]["hidden_act"] = json!("geglu"), "geglu"),
        (
            "clip",
            "preprocessor_config.json",
            &|c| c["crop_size"] = json!({"height": 16, "width": 16}),
            "crop_size",
        ),
        (
            "openclip-vit",
            "open_clip_config.json",
            &|c| c["model_cfg"]["vision_cfg"]["ls_init_value"] = json!(0.1),
            "ls_init_value",
        ),
        (
            "openclip-vit",
            "open_clip_config.json",
            &|c| c["model_cfg"]["vision_cfg"]["timm_model_name"] = json!("vit_base"),
            "timm",
        ),
        (
            "openclip-resnet",
            "open_clip_config.json",
            &|c| c["model_cfg"]["vision_cfg"]["layers"] = json!([1, 1, 1, 1]),
            "layer1.1.",
        ),
    ];
    for (family, file, change, said) in cases {
        let (_dir, source, to) = copy(family);
        edit(source.join(file), change);
        let message = refusal(&source, &to);
        assert!(message.contains(said), "{said}: {message}");
    }
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let (_dir, source, to) = copy("clip");
    fs::copy(checkpoint("siglip2").join("tokenizer.json"), source.join("tokenizer.json")).unwrap();
    assert!(refusal(&source, &to).contains("another model"));

    let (_dir, source, to) = copy("openclip-resnet");
    fs::remove_file(source.join("merges.txt")).unwrap();
    assert!(refusal(&source, &to).contains("merges.txt"));
}

#[test]
fn what_is_no_checkpoint_is_refused() {
    let (dir, source, to) = copy("clip");
    fs::rename(source.join("model.safetensors"), source.join("pytorch_model.bin")).unwrap();
    assert!(refusal(&source, &to).contains("only .safetensors"));
    fs::write(source.join("model.safetensors"), b"").unwrap();
    assert!(refusal(&source, &to).contains("model.safetensors"));
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    assert!(refusal(&empty, &to).contains("config.json"));
    assert!(refusal(&dir.path().join("nowhere"), &to).contains("nowhere"));
}

#[test]
fn what_a_killed_import_left_goes_and_a_model_is_not_overwritten() {
    let (_dir, source, to) = copy("clip");
    let stale = to.with_file_name(".imported.part");
    fs::create_dir_all(&stale).unwrap();
    fs::write(stale.join("model.json"), "of a killed import").unwrap();
    import(&source, "x", &to).unwrap();
    assert!(!stale.exists());
    let before = fs::read(to.join("model.json")).unwrap();
    let error = import(&checkpoint("siglip"), "x", &to).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    assert_eq!(fs::read(to.join("model.json")).unwrap(), before);
}

/// The program: a checkpoint is imported under a name, verified, used, and refused a second time.
#[cfg(feature = "cli")]
#[test]
fn the_program_imports_and_uses_a_checkpoint() {
    let home = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_mmsearch"))
            .env("XDG_DATA_HOME", home.path())
            .env_remove("MMSEARCH_FAKE_ENCODER")
            .args(arguments)
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let source = checkpoint("siglip");
    let import = ["model", "import", source.to_str().unwrap(), "--name", "little"];
    let (code, stdout, stderr) = run(&import);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.starts_with("little ") && stderr.contains("--model little"), "{stdout}{stderr}");

    let (code, stdout, _) = run(&["model", "verify", "--model", "little", "--json"]);
    assert_eq!((code, stdout.contains("\"holds\":true")), (Some(0), true), "{stdout}");

    let photos = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/scenes");
    let (code, _, stderr) = run(&["index", photos.to_str().unwrap(), "--model", "little"]);
    assert_eq!(code, Some(0), "{stderr}");
    let long = "a red house under a yellow moon ".repeat(20);
    let (code, stdout, stderr) = run(&["query", "--text", &long, "-k", "2", "--model", "little"]);
    assert_eq!((code, stdout.lines().count()), (Some(0), 2), "{stderr}");
    assert!(stderr.contains("longer than the model reads"), "{stderr}");
    let (code, _, stderr) =
        run(&["query", "--text", "a", "--model", "little", "--precision", "bf16"]);
    assert_eq!(code, Some(7), "another precision is another space: {stderr}");

    assert_eq!(run(&import).0, Some(2), "it is there already");
    for name in ["../up", ".hidden", "mini"] {
        let (code, _, stderr) = run(&["model", "import", source.to_str().unwrap(), "--name", name]);
        assert_eq!(code, Some(2), "{name}: {stderr}");
    }
    let (code, stdout, stderr) =
        run(&["model", "import", photos.to_str().unwrap(), "--name", "no"]);
    assert_eq!((code, stdout.as_str(), stderr.lines().count()), (Some(7), "", 1), "{stderr}");
}
