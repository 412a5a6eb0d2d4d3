//! A deterministic encoder without a network: what everything above `encoder` is tested with.
//!
//! Its space is eight colours and eight hash buckets. A picture is the share of its pixels nearest to each
//! colour; a text is the colours it names, with its other words hashed; so "red" really finds red pictures.

use crate::embedding::Embedding;
use crate::encoder::preprocess::Filter;
use crate::encoder::{Encoder, Fingerprint, JpegScale, Logit, Preprocess, Resize, Space};
use crate::error::Result;
use crate::pixels::Pixels;

const COLOURS: [(&str, [i32; 3]); 8] = [
    ("red", [255, 0, 0]),
    ("green", [0, 255, 0]),
    ("blue", [0, 0, 255]),
    ("yellow", [255, 255, 0]),
    ("white", [255, 255, 255]),
    ("black", [0, 0, 0]),
    ("cyan", [0, 255, 255]),
    ("magenta", [255, 0, 255]),
];

/// Words that name no colour, and the parts of a picture, fall into as many buckets.
const N_BUCKETS: usize = 8;

/// A deterministic stand-in for a model: 16 dimensions, no weights, both modalities comparable by colour.
#[derive(Clone, Debug)]
pub struct FakeEncoder {
    space: Space,
    preprocess: Preprocess,
    logit: Logit,
}

impl FakeEncoder {
    /// An encoder whose fingerprint depends on `name` only.
    pub fn new(name: &str) -> Self {
        let preprocess = Preprocess {
            size: 8,
            jpeg_scale: JpegScale::USUAL,
            resize: Resize::Squash,
            filter: Filter::Bilinear,
            mean: [0.0; 3],
            std: [1.0; 3],
        };
        let fingerprint =
            Fingerprint(blake3::hash(format!("fake {name}").as_bytes()).to_hex().to_string());
        Self {
            space: Space { fingerprint, model: name.into(), dim: COLOURS.len() + N_BUCKETS },
            preprocess,
            logit: Logit::Softmax { scale: 10.0 },
        }
    }
}

impl Default for FakeEncoder {
    fn default() -> Self {
        Self::new("fake")
    }
}

impl Encoder for FakeEncoder {
    fn space(&self) -> &Space {
        &self.space
    }

    fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    fn logit(&self) -> &Logit {
        &self.logit
    }

    fn encode_images(&mut self, pictures: &[Pixels]) -> Result<Vec<Embedding>> {
        pictures.iter().map(encode_image).collect()
    }

    fn encode_texts(&mut self, texts: &[&str]) -> Result<Vec<Embedding>> {
        texts.iter().map(|text| encode_text(text)).collect()
    }

    /// It has no longest text.
    fn reads_whole(&mut self, _text: &str) -> Result<bool> {
        Ok(true)
    }
}

fn encode_image(picture: &Pixels) -> Result<Embedding> {
    let mut values = vec![0.0; COLOURS.len() + N_BUCKETS];
    for pixel in picture.rgb().chunks_exact(3) {
        values[nearest_colour(pixel)] += 1.0;
    }
    // A little of the picture's own layout, so that pictures of one colour still differ.
    let n_pixels = picture.rgb().len() / 3;
    for (i, pixel) in picture.rgb().chunks_exact(3).enumerate() {
        let brightness = pixel.iter().map(|&c| f32::from(c)).sum::<f32>() / (3.0 * 255.0);
        values[COLOURS.len() + i * N_BUCKETS / n_pixels] += 0.2 * brightness;
    }
    Embedding::normalized(values)
}

fn encode_text(text: &str) -> Result<Embedding> {
    let mut values = vec![0.0; COLOURS.len() + N_BUCKETS];
    for word in
        text.to_lowercase().split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
    {
        match COLOURS.iter().position(|(name, _)| *name == word) {
            Some(colour) => values[colour] += 1.0,
            None => {
                let hash = blake3::hash(word.as_bytes());
                values[COLOURS.len() + usize::from(hash.as_bytes()[0]) % N_BUCKETS] += 0.1;
            }
        }
    }
    // A text without words is a point too; a real tower also answers to punctuation.
    values[COLOURS.len()] += 1e-3;
    Embedding::normalized(values)
}

fn nearest_colour(pixel: &[u8]) -> usize {
    let distance = |colour: &[i32; 3]| -> i32 {
        pixel.iter().zip(colour).map(|(&p, &c)| (i32::from(p) - c).pow(2)).sum()
    };
    (0..COLOURS.len()).min_by_key(|&i| distance(&COLOURS[i].1)).expect("there are eight colours")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_found_by_name() {
        let mut encoder = FakeEncoder::default();
        let picture = |rgb: [u8; 3]| Pixels::new(8, 8, rgb.repeat(64)).unwrap();
        let images = encoder.encode_images(&[picture([250, 5, 5]), picture([0, 0, 240])]).unwrap();
        let texts = encoder.encode_texts(&["a red thing", "something blue"]).unwrap();
        assert!(texts[0].score(&images[0]) > 0.8 && texts[0].score(&images[1]) < 0.3);
        assert!(texts[1].score(&images[1]) > 0.8 && texts[1].score(&images[0]) < 0.3);
        assert!(encoder.encode_texts(&["", "!"]).is_ok());
    }
}
