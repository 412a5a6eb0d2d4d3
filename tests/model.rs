//! Model directories: the golden values of PyTorch, and everything that must be refused.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "these are tests")]
#![cfg(feature = "torch")]

use std::fs;
use std::path::{Path, PathBuf};

use mmsearch::encoder::{Device, DualEncoder, Encoder};
use mmsearch::{Error, ErrorKind, Pixels};
use tempfile::TempDir;

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/models/tiny")
}

/// A copy of the tests' model, to be damaged.
fn copy() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    for name in ["model.json", "weights.safetensors", "tokenizer.json", "golden.safetensors"] {
        fs::copy(tiny().join(name), dir.path().join(name)).unwrap();
    }
    let path = dir.path().to_path_buf();
    (dir, path)
}

/// Flips the sign of every eighth f16 of a file's data.
fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[8 + header..].iter_mut().skip(1).step_by(16).for_each(|byte| *byte ^= 0x80);
    fs::write(path, bytes).unwrap();
}

fn refusal(dir: &Path) -> String {
    let Err(error) = DualEncoder::load(dir, Device::Cpu) else {
        panic!("{} was loaded", dir.display())
    };
    assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
    let message = error.to_string();
    assert!(!message.contains('\n'), "one line: {message}");
    message
}

#[test]
fn the_tiny_model_gives_the_values_of_pytorch() {
    let mut model = DualEncoder::load(&tiny(), Device::Cpu).unwrap();
    let found = model.verify(&tiny().join("golden.safetensors")).unwrap();
    assert!(found.holds(), "{found:?}");
}

#[test]
fn a_changed_weight_is_noticed_by_the_golden_file() {
    let (_guard, dir) = copy();
    flip(&dir.join("weights.safetensors"));
    let mut model = DualEncoder::load(&dir, Device::Cpu).unwrap();
    let found = model.verify(&dir.join("golden.safetensors")).unwrap();
    assert!(!found.holds(), "{found:?}");
}

#[test]
fn a_golden_file_of_nothing_agrees_with_nothing() {
    let (_guard, dir) = copy();
    let path = dir.join("golden.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let entries: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    let span = &entries["image.features"]["data_offsets"];
    let (start, end) = (span[0].as_u64().unwrap() as usize, span[1].as_u64().unwrap() as usize);
    // 0xff in every byte is a NaN.
    bytes[8 + header + start..8 + header + end].fill(0xff);
    fs::write(&path, bytes).unwrap();
    let found = DualEncoder::load(&dir, Device::Cpu).unwrap().verify(&path).unwrap();
    assert!(!found.holds() && found.image_features < 0.0, "{found:?}");
}

#[cfg(feature = "embedded-model")]
#[test]
fn the_model_inside_gives_the_values_of_pytorch() {
    let found = DualEncoder::mini(Device::Cpu).unwrap().verify_mini().unwrap();
    assert!(found.holds(), "{found:?}");
}

#[test]
fn embeddings_do_not_depend_on_the_batch() {
    let mut model = DualEncoder::load(&tiny(), Device::Cpu).unwrap();
    let picture = |seed: usize| {
        Pixels::new(16, 16, (0..768).map(|i| (i * seed % 251) as u8).collect()).unwrap()
    };
    let pictures: Vec<Pixels> = (1..10).map(picture).collect();
    let together = model.encode_images(&pictures).unwrap();
    let texts = ["a dog", "a much longer sentence about a red ball on the grass", "x", ""];
    let sentences = model.encode_texts(&texts).unwrap();
    for (picture, expected) in pictures.iter().zip(&together) {
        let alone = model.encode_images(std::slice::from_ref(picture)).unwrap();
        assert!(alone[0].score(expected) > 0.9999);
    }
    for (text, expected) in texts.iter().zip(&sentences) {
        assert!(model.encode_texts(&[text]).unwrap()[0].score(expected) > 0.9999, "{text:?}");
    }
    assert!(sentences[0].score(&sentences[1]) < 0.9999, "the control: other texts are elsewhere");
}

#[test]
fn the_fingerprint_follows_what_changes_a_vector() {
    let fingerprint =
        |dir: &Path| DualEncoder::load(dir, Device::Cpu).unwrap().space().fingerprint.clone();
    let original = fingerprint(&tiny());
    let change = |file: &str, from: &str, to: &str| {
        let (guard, dir) = copy();
        let text = fs::read_to_string(dir.join(file)).unwrap();
        assert!(text.contains(from), "{file} has no {from}");
        fs::write(dir.join(file), text.replacen(from, to, 1)).unwrap();
        let found = fingerprint(&dir);
        drop(guard);
        found
    };
    assert_eq!(
        change("model.json", "\"tiny\"", "\"renamed\""),
        original,
        "a name changes no vector"
    );
    assert_ne!(change("model.json", "\"leaky-relu\"", "\"relu\"").0, original.0);
    assert_ne!(change("model.json", "\"at_least\": 1.5", "\"at_least\": 2.0").0, original.0);
    assert_ne!(change("tokenizer.json", "\"Ġa\"", "\"Ġ@\"").0, original.0);
    let (_guard, dir) = copy();
    flip(&dir.join("weights.safetensors"));
    assert_ne!(fingerprint(&dir).0, original.0);
}

#[test]
fn what_is_no_model_is_refused_by_name() {
    let (_guard, dir) = copy();
    assert!(refusal(&dir.join("nowhere")).contains("does not exist"));
    let pickle = dir.join("model.pt");
    fs::write(&pickle, b"PK\x03\x04").unwrap();
    assert!(refusal(&pickle).contains("only model directories with .safetensors"));

    for (file, content, message) in [
        ("model.json", "{", "model.json"),
        ("model.json", "{\"version\": 2}", "missing field"),
        ("model.json", "{\"version\": 1}", "import the checkpoint again"),
        ("tokenizer.json", "[]", "tokenizer.json"),
        ("weights.safetensors", "", "not a safetensors file"),
    ] {
        let (_guard, dir) = copy();
        fs::write(dir.join(file), content).unwrap();
        // The tokenizer is read when the first text is encoded.
        let message_found = match DualEncoder::load(&dir, Device::Cpu) {
            Err(error) => error.to_string(),
            Ok(mut model) => model.encode_texts(&["a"]).unwrap_err().to_string(),
        };
        assert!(message_found.contains(message), "{file}: {message_found}");
    }
    for file in ["model.json", "tokenizer.json", "weights.safetensors"] {
        let (_guard, dir) = copy();
        fs::remove_file(dir.join(file)).unwrap();
        assert!(refusal(&dir).contains("it is missing"), "{file}");
        fs::create_dir(dir.join(file)).unwrap();
        assert!(refusal(&dir).contains("it is not a regular file"), "{file}");
    }
}

/// A pipe is not waited at, an endless file not read to its end, and whatever may be a program is not run.
#[test]
fn traps_in_the_place_of_files_are_refused_at_once() {
    for file in ["model.json", "tokenizer.json", "weights.safetensors"] {
        let (_guard, dir) = copy();
        fs::remove_file(dir.join(file)).unwrap();
        let made = std::process::Command::new("mkfifo").arg(dir.join(file)).status();
        assert!(made.unwrap().success());
        assert!(refusal(&dir).contains("it is not a regular file"), "{file}");
        fs::remove_file(dir.join(file)).unwrap();
        std::os::unix::fs::symlink("/dev/zero", dir.join(file)).unwrap();
        assert!(refusal(&dir).contains("it is not a regular file"), "{file}");
        fs::remove_file(dir.join(file)).unwrap();
        let sparse = fs::File::create(dir.join(file)).unwrap();
        sparse.set_len(9 << 30).unwrap();
        assert!(refusal(&dir).contains("it is larger than 8 GiB"), "{file}");
    }
    let (_guard, dir) = copy();
    for name in ["model.pt", "model.ot", "script.ts", "weights.safetensors"] {
        let path = dir.join(name);
        if !path.exists() {
            fs::write(&path, b"PK\x03\x04 code/__torch__.py").unwrap();
        }
        let before = fs::read_dir(&dir).unwrap().count();
        assert!(refusal(&path).contains("only model directories with .safetensors"), "{name}");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), before, "{name} wrote a file");
    }
}

/// What the header of the weights says of itself is not believed.
#[test]
fn weights_with_a_header_that_lies_are_refused() {
    let (_guard, dir) = copy();
    let path = dir.join("weights.safetensors");
    let whole = fs::read(&path).unwrap();
    for length in [u64::MAX, 99 << 20, whole.len() as u64, 0] {
        let mut lying = whole.clone();
        lying[..8].copy_from_slice(&length.to_le_bytes());
        fs::write(&path, lying).unwrap();
        assert!(refusal(&dir).contains("not a safetensors file"), "{length}");
    }
    let nested = "[".repeat(100_000);
    let deep = [&(nested.len() as u64).to_le_bytes()[..], nested.as_bytes()].concat();
    fs::write(&path, deep).unwrap();
    assert!(refusal(&dir).contains("not a safetensors file"));
}

#[test]
fn truncated_weights_are_refused_wherever_they_end() {
    let (_guard, dir) = copy();
    let path = dir.join("weights.safetensors");
    let whole = fs::read(&path).unwrap();
    for cut in (0..whole.len()).step_by(whole.len() / 40) {
        fs::write(&path, &whole[..cut]).unwrap();
        refusal(&dir);
    }
    fs::write(&path, &whole).unwrap();
    assert!(DualEncoder::load(&dir, Device::Cpu).is_ok(), "the control: the whole file is loaded");
}

#[test]
fn a_picture_of_another_size_is_an_error_not_a_panic() {
    let mut model = DualEncoder::load(&tiny(), Device::Cpu).unwrap();
    let picture = Pixels::new(8, 8, vec![0; 192]).unwrap();
    let error = model.encode_images(&[picture]).unwrap_err();
    assert!(
        matches!(&error, Error::Encoder { reason } if reason.contains("8×8, not 16×16")),
        "{error}"
    );
}
