//! Reading and writing `weights.safetensors`, strictly.
//!
//! The format is that of the safetensors project: 8 bytes of header length, a JSON header, then the tensors. The
//! header is checked by the `safetensors` crate, which bounds every offset; on top of it this loader refuses
//! duplicate names (that crate keeps the last), names and shapes other than the configuration's, other number
//! types, and values that are not finite. `tch`'s own loader would broadcast wrong shapes silently.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use tch::{Device, Kind, Tensor};

use crate::encoder::tower::TensorSpec;
use crate::error::{Error, Result};

/// Ends the name of the f32 tensor that holds one factor for each first index of an int8 tensor.
const SCALE: &str = ".scale";

/// A checkpoint's bytes and what their header says.
pub(crate) struct Checkpoint {
    path: PathBuf,
    bytes: Cow<'static, [u8]>,
    entries: BTreeMap<String, Entry>,
}

struct Entry {
    dtype: Dtype,
    shape: Vec<i64>,
    start: usize,
    end: usize,
}

/// How weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storage {
    /// 4 bytes a value.
    F32,
    /// 2 bytes a value.
    F16,
    /// 2 bytes a value, as far as f32 reaches.
    Bf16,
    /// A byte a value and an f32 factor for each first index; rows of few values take 2 bytes a value, since their
    /// rounding errors do not average out; vectors stay f32.
    Int8,
}

#[allow(clippy::wildcard_enum_match_arm, reason = "the format has number types that no weight has")]
impl Checkpoint {
    /// Reads the header; `path` is for messages only.
    ///
    /// # Errors
    /// [`Error::BadModel`] if the file is not safetensors or names a tensor twice.
    pub(crate) fn parse(bytes: Cow<'static, [u8]>, path: &Path) -> Result<Self> {
        let bad = |reason: String| Error::BadModel { path: path.to_path_buf(), reason };
        let parsed = SafeTensors::deserialize(&bytes)
            .map_err(|error| bad(format!("not a safetensors file: {error}")))?;
        if let Some(name) = duplicate_name(&bytes) {
            return Err(bad(format!("tensor `{name}` is there twice")));
        }
        let mut entries = BTreeMap::new();
        for (name, view) in parsed.tensors() {
            let shape = view.shape().iter().map(|&side| side as i64).collect();
            let start = view.data().as_ptr() as usize - bytes.as_ptr() as usize;
            entries.insert(
                name,
                Entry { dtype: view.dtype(), shape, start, end: start + view.data().len() },
            );
        }
        Ok(Self { path: path.to_path_buf(), bytes, entries })
    }

    /// Compares the names, shapes and number types with what a configuration calls for; reads no values.
    ///
    /// # Errors
    /// [`Error::BadModel`] naming the first tensor that is missing, unknown, misshaped or of a wrong type.
    pub(crate) fn check(&self, specs: &[TensorSpec]) -> Result<()> {
        let mut unknown: BTreeSet<&str> = self.entries.keys().map(String::as_str).collect();
        for spec in specs {
            let entry = self.entry(&spec.name)?;
            unknown.remove(spec.name.as_str());
            if entry.shape != spec.shape {
                return Err(self.bad(
                    &spec.name,
                    format!("expected shape {:?}, found {:?}", spec.shape, entry.shape),
                ));
            }
            match entry.dtype {
                Dtype::F32 | Dtype::F16 | Dtype::BF16 => {}
                Dtype::I8 => {
                    let scale = format!("{}{SCALE}", spec.name);
                    let factors = self.entry(&scale)?;
                    if factors.dtype != Dtype::F32 || factors.shape != spec.shape[..1] {
                        return Err(self
                            .bad(&scale, format!("expected F32 of shape {:?}", &spec.shape[..1])));
                    }
                    unknown.remove(scale.as_str());
                }
                other => {
                    return Err(
                        self.bad(&spec.name, format!("{other:?} is not F32, F16, BF16 or I8"))
                    );
                }
            }
        }
        match unknown.first() {
            Some(name) => Err(self.bad(name, "the configuration does not know it".into())),
            None => Ok(()),
        }
    }

    /// Compares one tensor's shape with the one that is needed.
    ///
    /// # Errors
    /// [`Error::BadModel`] naming the tensor.
    pub(crate) fn expect_shape(&self, name: &str, shape: &[i64]) -> Result<()> {
        match self.entry(name)? {
            entry if entry.shape == shape => Ok(()),
            entry => {
                Err(self.bad(name, format!("expected shape {shape:?}, found {:?}", entry.shape)))
            }
        }
    }

    /// One tensor's values as f32 on a device.
    ///
    /// # Errors
    /// [`Error::BadModel`] if it is missing or a value is not finite.
    pub(crate) fn tensor(&self, name: &str, device: Device) -> Result<Tensor> {
        let entry = self.entry(name)?;
        let kind = match entry.dtype {
            Dtype::F32 => Kind::Float,
            Dtype::F16 => Kind::Half,
            Dtype::BF16 => Kind::BFloat16,
            Dtype::I8 => Kind::Int8,
            other => return Err(self.bad(name, format!("{other:?} is not F32, F16, BF16 or I8"))),
        };
        let mut values =
            Tensor::from_data_size(&self.bytes[entry.start..entry.end], &entry.shape, kind)
                .to_kind(Kind::Float);
        if entry.dtype == Dtype::I8 {
            let mut broadcast = vec![1; entry.shape.len()];
            broadcast[0] = -1;
            values *=
                self.tensor(&format!("{name}{SCALE}"), Device::Cpu)?.view(broadcast.as_slice());
        }
        if values.isfinite().all().int64_value(&[]) != 1 {
            return Err(self.bad(name, "it has values that are not finite".into()));
        }
        Ok(values.to_device(device))
    }

    /// All names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The storage that keeps a tensor's values as they are.
    ///
    /// # Errors
    /// [`Error::BadModel`] if it is missing or its type is none of a foreign checkpoint's.
    pub(crate) fn storage(&self, name: &str) -> Result<Storage> {
        match self.entry(name)?.dtype {
            Dtype::F32 => Ok(Storage::F32),
            Dtype::F16 => Ok(Storage::F16),
            Dtype::BF16 => Ok(Storage::Bf16),
            other => Err(self.bad(name, format!("{other:?} is not F32, F16 or BF16"))),
        }
    }

    /// Raw bytes and shape of a tensor of a known type, for files that are not weights.
    pub(crate) fn raw(&self, name: &str, dtype: Dtype) -> Result<(&[u8], &[i64])> {
        let entry = self.entry(name)?;
        if entry.dtype != dtype {
            return Err(self.bad(name, format!("expected {dtype:?}, found {:?}", entry.dtype)));
        }
        Ok((&self.bytes[entry.start..entry.end], &entry.shape))
    }

    fn entry(&self, name: &str) -> Result<&Entry> {
        self.entries.get(name).ok_or_else(|| self.bad(name, "it is missing".into()))
    }

    fn bad(&self, name: &str, reason: String) -> Error {
        Error::BadModel { path: self.path.clone(), reason: format!("tensor `{name}`: {reason}") }
    }
}

/// The bytes of a safetensors file with these tensors.
pub(crate) fn serialize(tensors: &BTreeMap<String, Tensor>, storage: Storage) -> Result<Vec<u8>> {
    let each =
        |(name, tensor): (&String, &Tensor)| (name.clone(), (tensor.shallow_clone(), storage));
    serialize_each(&tensors.iter().map(each).collect())
}

/// As [`serialize`], each tensor in its own way.
pub(crate) fn serialize_each(tensors: &BTreeMap<String, (Tensor, Storage)>) -> Result<Vec<u8>> {
    let mut stored: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)> = BTreeMap::new();
    for (name, (tensor, storage)) in tensors {
        let tensor = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float).contiguous();
        let narrow = |tensor: &Tensor| stored_as(&tensor.to_kind(Kind::Half), Dtype::F16);
        let values = match storage {
            Storage::Int8 if is_wide(&tensor) => {
                let (values, scale) = quantize(&tensor);
                stored.insert(format!("{name}{SCALE}"), stored_as(&scale, Dtype::F32));
                stored_as(&values, Dtype::I8)
            }
            Storage::Int8 if tensor.dim() > 1 => narrow(&tensor),
            Storage::F16 => narrow(&tensor),
            Storage::Bf16 => stored_as(&tensor.to_kind(Kind::BFloat16), Dtype::BF16),
            Storage::F32 | Storage::Int8 => stored_as(&tensor, Dtype::F32),
        };
        stored.insert(name.clone(), values);
    }
    let wrong = |error: safetensors::SafeTensorError| Error::Encoder {
        reason: format!("cannot write weights: {error}"),
    };
    let views = stored
        .iter()
        .map(|(name, (dtype, shape, bytes))| {
            Ok((name, TensorView::new(*dtype, shape.clone(), bytes)?))
        })
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(wrong)?;
    safetensors::serialize(views, None).map_err(wrong)
}

/// The bytes of a safetensors file with tensors of any type: name, type, shape, little-endian values.
pub(crate) fn serialize_raw(tensors: &[(&str, Dtype, Vec<usize>, Vec<u8>)]) -> Result<Vec<u8>> {
    let wrong = |error: safetensors::SafeTensorError| Error::Encoder {
        reason: format!("cannot write tensors: {error}"),
    };
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            Ok((*name, TensorView::new(*dtype, shape.clone(), bytes)?))
        })
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(wrong)?;
    safetensors::serialize(views, None).map_err(wrong)
}

/// Whether a tensor has rows of at least 48 values. In `mini` the narrower ones are 2 % of the weights and cost 3 points
/// of image→text R@10 in int8 (depthwise convolutions, 9 values a row).
fn is_wide(tensor: &Tensor) -> bool {
    tensor.dim() > 1 && tensor.numel() as i64 / tensor.size()[0] >= 48
}

/// Symmetric int8, one factor for each first index; the largest value becomes ±127.
fn quantize(tensor: &Tensor) -> (Tensor, Tensor) {
    let n_rows = tensor.size()[0];
    let rows = tensor.view([n_rows, -1]);
    let scale = rows.abs().amax([1i64].as_slice(), true).clamp_min(1e-12) / 127.0; // [rows, 1]
    let values = (&rows / &scale).round().to_kind(Kind::Int8).view_as(tensor);
    (values, scale.view([n_rows]))
}

fn stored_as(tensor: &Tensor, dtype: Dtype) -> (Dtype, Vec<usize>, Vec<u8>) {
    let shape: Vec<usize> = tensor.size().iter().map(|&side| side as usize).collect();
    let n_values = shape.iter().product();
    let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    tensor.copy_data_u8(&mut bytes, n_values);
    (dtype, shape, bytes)
}

/// The first tensor name that the header has twice. The bytes are known to be a valid safetensors file.
fn duplicate_name(bytes: &[u8]) -> Option<String> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let header = rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    serde_json::from_slice::<UniqueNames>(header).ok()?.duplicate
}

/// The keys of a JSON object; serde's maps would keep the last of two equal ones without a word.
struct UniqueNames {
    duplicate: Option<String>,
}

impl<'de> Deserialize<'de> for UniqueNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = UniqueNames;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(
                self,
                mut map: M,
            ) -> std::result::Result<UniqueNames, M::Error> {
                let (mut seen, mut duplicate) = (HashMap::new(), None);
                while let Some((name, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
                    if seen.insert(name.clone(), ()).is_some() {
                        duplicate.get_or_insert(name);
                    }
                }
                Ok(UniqueNames { duplicate })
            }
        }
        deserializer.deserialize_map(Names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::tower::Init;

    fn spec(name: &str, shape: &[i64]) -> TensorSpec {
        TensorSpec { name: name.into(), shape: shape.to_vec(), init: Init::Zeros }
    }

    fn parse(bytes: Vec<u8>) -> Result<Checkpoint> {
        Checkpoint::parse(bytes.into(), Path::new("w.safetensors"))
    }

    /// A file with this header and as many zero bytes of data.
    fn file(header: &str, n_bytes: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(vec![0; n_bytes]);
        bytes
    }

    fn tensors() -> BTreeMap<String, Tensor> {
        let narrow = Tensor::from_slice2(&[[0.5f32, -1.0, 0.25], [100.0, 3.0, -27.0]]);
        let wide = Tensor::arange(128, (Kind::Float, Device::Cpu)).sin().view([2, 64]);
        BTreeMap::from([
            ("a.weight".into(), narrow),
            ("a.bias".into(), Tensor::from_slice(&[0.1f32, -7.5])),
            ("wide".into(), wide),
        ])
    }

    #[test]
    fn each_storage_is_read_back() {
        for (storage, largest_error) in
            [(Storage::F32, 0.0), (Storage::F16, 1e-3), (Storage::Int8, 0.5 / 127.0)]
        {
            let checkpoint = parse(serialize(&tensors(), storage).unwrap()).unwrap();
            checkpoint
                .check(&[spec("a.weight", &[2, 3]), spec("a.bias", &[2]), spec("wide", &[2, 64])])
                .unwrap();
            for (name, expected) in tensors() {
                let found = checkpoint.tensor(&name, Device::Cpu).unwrap();
                let rows = expected.view([2, -1]);
                let relative =
                    (found.view([2, -1]) - &rows).abs() / rows.abs().amax([1i64].as_slice(), true);
                assert!(relative.max().double_value(&[]) <= largest_error, "{storage:?} {name}");
            }
        }
    }

    #[test]
    fn wrong_sets_of_tensors_are_named() {
        let checkpoint = parse(serialize(&tensors(), Storage::F32).unwrap()).unwrap();
        let whole = [spec("a.weight", &[2, 3]), spec("a.bias", &[2]), spec("wide", &[2, 64])];
        assert!(checkpoint.check(&whole).is_ok());
        for (specs, message) in [
            (
                vec![whole[0].clone(), whole[2].clone()],
                "tensor `a.bias`: the configuration does not know it",
            ),
            (
                vec![whole[0].clone(), whole[1].clone(), spec("b", &[1])],
                "tensor `b`: it is missing",
            ),
            (
                vec![spec("a.weight", &[3, 2]), whole[1].clone()],
                "tensor `a.weight`: expected shape [3, 2], found [2, 3]",
            ),
        ] {
            assert!(
                checkpoint.check(&specs).unwrap_err().to_string().contains(message),
                "{message}"
            );
        }
    }

    #[test]
    fn wrong_values_and_types_are_named() {
        let nan = BTreeMap::from([("w".to_string(), Tensor::from_slice(&[1.0f32, f32::NAN]))]);
        let checkpoint = parse(serialize(&nan, Storage::F32).unwrap()).unwrap();
        assert!(
            checkpoint.tensor("w", Device::Cpu).unwrap_err().to_string().contains("not finite")
        );

        let header = r#"{"w":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}"#;
        let checkpoint = parse(file(header, 8)).unwrap();
        assert!(
            checkpoint.check(&[spec("w", &[1])]).unwrap_err().to_string().contains("I64 is not")
        );

        let header = r#"{"w":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}}"#;
        let checkpoint = parse(file(header, 2)).unwrap();
        assert!(
            checkpoint
                .check(&[spec("w", &[2])])
                .unwrap_err()
                .to_string()
                .contains("`w.scale`: it is missing")
        );
    }

    #[test]
    fn malformed_files_are_refused() {
        let entry = r#""w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
        assert!(parse(file(&format!("{{{entry}}}"), 4)).is_ok(), "the control is a good file");
        for (bytes, why) in [
            (vec![], "empty"),
            (u64::MAX.to_le_bytes().to_vec(), "header longer than memory"),
            ((99u64 << 20).to_le_bytes().to_vec(), "header longer than the file"),
            (file(&format!("{{{entry},{entry}}}"), 4), "duplicate name"),
            (
                file(r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}"#, 4),
                "offsets past the end",
            ),
            (
                file(r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, 4),
                "shape against length",
            ),
            (
                file(
                    &format!(
                        "{{\"v\":{{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[2,6]}},{entry}}}"
                    ),
                    6,
                ),
                "overlap",
            ),
            (file(&"[".repeat(5000), 0), "deep nesting"),
            (b"PK\x03\x04 a zip of pickles".to_vec(), "a .pt file"),
        ] {
            assert!(matches!(parse(bytes), Err(Error::BadModel { .. })), "{why}");
        }
    }
}
