//! Small pictures between the lines of a terminal.
//!
//! Three protocols are spoken. Two are a few bytes around the picture: kitty's (sw.kovidgoyal.net/kitty/graphics-protocol) takes
//! pixels, iTerm2's (iterm2.com/documentation-images.html) a file. Sixel, of the VT340, takes strips of a few colours, which
//! `icy_sixel` makes. Pictures are decoded by the library, within its limits.

use std::ffi::OsString;
use std::io;

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use icy_sixel::SixelImage;
use mmsearch::media::{SourcePictures, jpeg_bytes, thumbnail};
use mmsearch::{Detail, Pixels};

use super::Entry;
use crate::cli::answers::ThumbnailsArg;
use crate::exit::tell;
use crate::output::Output;
use crate::picture::decoder_of_environment;

/// Lines of the terminal that a thumbnail takes.
const ROWS: u32 = 8;
/// Enough pixels for them on a fine screen.
const LONGEST: u32 = 240;
/// Sixels are pixels of the screen: as high as the lines of a usual font.
const SIXEL_LONGEST: u32 = 160;
/// How many are shown when nobody asked for them.
const MAX_UNASKED: usize = 20;
/// Kitty takes so many bytes of base64 at a time.
const CHUNK: usize = 4_096;

/// How a terminal takes pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Kitty,
    Iterm,
    Sixel,
}

/// The protocol to use, if thumbnails are to be shown; `variable` reads the environment.
pub(super) fn protocol(
    wanted: ThumbnailsArg,
    is_terminal: bool,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Option<Protocol> {
    match wanted {
        ThumbnailsArg::Never => None,
        ThumbnailsArg::Auto if !is_terminal => None,
        ThumbnailsArg::Auto => known_protocol(variable),
        ThumbnailsArg::Always => Some(known_protocol(variable).unwrap_or(Protocol::Kitty)),
        ThumbnailsArg::Kitty => Some(Protocol::Kitty),
        ThumbnailsArg::Iterm => Some(Protocol::Iterm),
        ThumbnailsArg::Sixel => Some(Protocol::Sixel),
    }
}

/// By what terminals say about themselves; asking them would mean to read what somebody types meanwhile.
fn known_protocol(variable: impl Fn(&str) -> Option<OsString>) -> Option<Protocol> {
    let is = |name: &str, value: &str| variable(name).is_some_and(|found| found == value);
    // They draw over what lies behind them, and pass no picture on.
    if variable("TMUX").is_some() || variable("STY").is_some() {
        return None;
    }
    let is_kitty = variable("KITTY_WINDOW_ID").is_some()
        || is("TERM", "xterm-kitty")
        || is("TERM", "xterm-ghostty")
        || is("TERM_PROGRAM", "ghostty");
    let is_iterm = is("TERM_PROGRAM", "iTerm.app")
        || is("LC_TERMINAL", "iTerm2")
        || is("TERM_PROGRAM", "WezTerm")
        || is("TERM_PROGRAM", "mintty");
    let term = variable("TERM").and_then(|term| term.into_string().ok()).unwrap_or_default();
    let is_sixel = ["foot", "mlterm", "contour", "yaft"].iter().any(|name| term.starts_with(name));
    match (is_kitty, is_iterm, is_sixel) {
        (true, _, _) => Some(Protocol::Kitty),
        (false, true, _) => Some(Protocol::Iterm),
        (false, false, true) => Some(Protocol::Sixel),
        (false, false, false) => None,
    }
}

/// Thumbnails of one answer.
pub(super) struct Thumbnails {
    protocol: Option<Protocol>,
    pictures: SourcePictures,
    n_left: usize,
}

impl Thumbnails {
    pub(super) fn new(protocol: Option<Protocol>, wanted: ThumbnailsArg) -> Self {
        let n_left = match wanted {
            ThumbnailsArg::Always
            | ThumbnailsArg::Kitty
            | ThumbnailsArg::Iterm
            | ThumbnailsArg::Sixel => usize::MAX,
            ThumbnailsArg::Auto => MAX_UNASKED,
            ThumbnailsArg::Never => 0,
        };
        let pictures = SourcePictures::default().with_decoder(decoder_of_environment());
        Self { protocol, pictures, n_left }
    }

    /// Shows the picture of an entry, if it has one and the terminal can. What cannot be read is told of.
    pub(super) fn show(&mut self, output: &mut Output, entry: &Entry<'_>) -> io::Result<()> {
        let Some(protocol) = self.protocol.filter(|_| self.n_left > 0 && entry.has_picture())
        else {
            return Ok(());
        };
        self.n_left -= 1;
        let longest = match protocol {
            Protocol::Kitty | Protocol::Iterm => LONGEST,
            Protocol::Sixel => SIXEL_LONGEST,
        };
        let sequence = small(&mut self.pictures, entry, longest)
            .and_then(|pixels| sequence(protocol, &pixels));
        match sequence {
            Ok(sequence) => output.line(&sequence),
            Err(error) => {
                tell(&format!("no thumbnail: {error:#}"));
                Ok(())
            }
        }
    }
}

/// The picture of an entry with a longer side of at most `longest` pixels.
pub(super) fn small(
    pictures: &mut SourcePictures,
    entry: &Entry<'_>,
    longest: u32,
) -> Result<Pixels> {
    let decoded = pictures.read(&entry.shown().source, Detail::ShorterSide(longest))?;
    Ok(thumbnail(decoded.pixels, longest)?)
}

/// What makes a terminal show a picture; the cursor stands in its last line afterwards.
fn sequence(protocol: Protocol, pixels: &Pixels) -> Result<String> {
    Ok(match protocol {
        Protocol::Kitty => kitty(pixels),
        Protocol::Sixel => {
            let opaque = |rgb: &[u8]| [rgb[0], rgb[1], rgb[2], 255];
            let rgba = pixels.rgb().chunks_exact(3).flat_map(opaque).collect();
            let (width, height) = (pixels.width() as usize, pixels.height() as usize);
            SixelImage::from_rgba(rgba, width, height).encode()?
        }
        Protocol::Iterm => {
            let file = jpeg_bytes(pixels)?;
            let (size, data) = (file.len(), STANDARD.encode(&file));
            format!(
                "\x1b]1337;File=inline=1;size={size};height={ROWS};preserveAspectRatio=1:{data}\x07"
            )
        }
    })
}

/// Pixels in RGB (`f=24`) to be shown at once (`a=T`), without an answer (`q=2`), in so many lines (`r`).
fn kitty(pixels: &Pixels) -> String {
    let data = STANDARD.encode(pixels.rgb());
    let (width, height) = (pixels.width(), pixels.height());
    let mut sequence = String::with_capacity(data.len() + data.len() / 100);
    let mut rest = data.as_str();
    let mut control = format!("a=T,q=2,f=24,s={width},v={height},r={ROWS},");
    loop {
        let (chunk, behind) = rest.split_at(rest.len().min(CHUNK));
        let goes_on = u8::from(!behind.is_empty());
        sequence.push_str(&format!("\x1b_G{control}m={goes_on};{chunk}\x1b\\"));
        if behind.is_empty() {
            return sequence;
        }
        (rest, control) = (behind, String::new());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(variables: &[(&str, &str)]) -> impl Fn(&str) -> Option<OsString> {
        let found = |name: &str| variables.iter().find(|(known, _)| *known == name);
        move |name| found(name).map(|(_, value)| value.into())
    }

    #[test]
    fn terminals_are_known_by_what_they_say() {
        for (variables, expected) in [
            (&[("TERM", "xterm-256color")][..], None),
            (&[("TERM", "xterm-kitty")], Some(Protocol::Kitty)),
            (&[("KITTY_WINDOW_ID", "1")], Some(Protocol::Kitty)),
            (&[("KITTY_WINDOW_ID", "1"), ("TMUX", "/tmp/x")], None),
            (&[("TERM_PROGRAM", "WezTerm")], Some(Protocol::Iterm)),
            (&[("TERM_PROGRAM", "Apple_Terminal")], None),
            (&[("TERM", "foot-extra")], Some(Protocol::Sixel)),
        ] {
            assert_eq!(protocol(ThumbnailsArg::Auto, true, by(variables)), expected);
            assert_eq!(protocol(ThumbnailsArg::Auto, false, by(variables)), None);
            assert_eq!(protocol(ThumbnailsArg::Never, true, by(variables)), None);
            assert!(protocol(ThumbnailsArg::Always, false, by(variables)).is_some());
        }
    }

    /// The pixels that a sequence of kitty's carries, chunk by chunk.
    fn carried(sequence: &str) -> Vec<u8> {
        let chunks: Vec<&str> =
            sequence.split("\x1b\\").filter(|chunk| !chunk.is_empty()).collect();
        let mut data = String::new();
        for (i, chunk) in chunks.iter().enumerate() {
            let (control, part) = chunk.strip_prefix("\x1b_G").unwrap().split_once(';').unwrap();
            assert!(control.ends_with(if i + 1 < chunks.len() { "m=1" } else { "m=0" }));
            assert!(part.len() <= CHUNK && part.len().is_multiple_of(4));
            data.push_str(part);
        }
        STANDARD.decode(data).unwrap()
    }

    #[test]
    fn pixels_arrive_whole() {
        for (width, height) in [(1, 1), (32, 32), (240, 160)] {
            let rgb: Vec<u8> = (0..width * height * 3).map(|i| (i % 251) as u8).collect();
            let pixels = Pixels::new(width, height, rgb.clone()).unwrap();
            let kitty = sequence(Protocol::Kitty, &pixels).unwrap();
            assert!(kitty.starts_with(&format!("\x1b_Ga=T,q=2,f=24,s={width},v={height},r=8,m=")));
            assert_eq!(carried(&kitty), rgb);
            let iterm = sequence(Protocol::Iterm, &pixels).unwrap();
            let data = iterm.split_once(':').unwrap().1.strip_suffix('\x07').unwrap();
            assert!(STANDARD.decode(data).unwrap().starts_with(b"\xff\xd8"));
        }
    }

    #[test]
    fn sixels_show_the_colours() {
        let rgb: Vec<u8> =
            (0..60 * 40).flat_map(|i| [if i % 60 < 30 { 250 } else { 5 }, 60, 5]).collect();
        let sixel = sequence(Protocol::Sixel, &Pixels::new(60, 40, rgb.clone()).unwrap()).unwrap();
        let shown = SixelImage::decode(sixel.as_bytes()).unwrap();
        // Strips are six pixels high.
        assert_eq!((shown.width, shown.height), (60, 42));
        let differs = |(shown, drawn): (&[u8], &[u8])| {
            shown.iter().zip(drawn).any(|(a, b)| a.abs_diff(*b) > 8)
        };
        assert!(!shown.pixels.chunks_exact(4).zip(rgb.chunks_exact(3)).any(differs));
    }
}
