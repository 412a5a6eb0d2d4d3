//! What there is to draw and how people call it. The order of the lists decides what is held out.

use super::raster::Color;

/// A thing that can be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Ball,
    House,
    Tree,
    Car,
    Boat,
    Star,
    Fish,
    Flower,
    Umbrella,
    Kite,
    Mountain,
    Heart,
    Cat,
    Bird,
    Balloon,
    Mushroom,
    Butterfly,
    Cup,
    Tent,
    Rocket,
    Sun,
    Moon,
}

impl Subject {
    /// All of them.
    pub(super) const ALL: [Self; 22] = [
        Self::Ball,
        Self::House,
        Self::Tree,
        Self::Car,
        Self::Boat,
        Self::Star,
        Self::Fish,
        Self::Flower,
        Self::Umbrella,
        Self::Kite,
        Self::Mountain,
        Self::Heart,
        Self::Cat,
        Self::Bird,
        Self::Balloon,
        Self::Mushroom,
        Self::Butterfly,
        Self::Cup,
        Self::Tent,
        Self::Rocket,
        Self::Sun,
        Self::Moon,
    ];

    /// Names for one and for several; the first is the usual one.
    pub(super) fn names(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Ball => &[("ball", "balls")],
            Self::House => &[("house", "houses"), ("small house", "small houses")],
            Self::Tree => &[("tree", "trees")],
            Self::Car => &[("car", "cars"), ("automobile", "automobiles")],
            Self::Boat => &[("boat", "boats"), ("sailboat", "sailboats")],
            Self::Star => &[("star", "stars")],
            Self::Fish => &[("fish", "fish")],
            Self::Flower => &[("flower", "flowers"), ("blossom", "blossoms")],
            Self::Umbrella => &[("umbrella", "umbrellas"), ("parasol", "parasols")],
            Self::Kite => &[("kite", "kites")],
            Self::Mountain => &[("mountain", "mountains"), ("peak", "peaks")],
            Self::Heart => &[("heart", "hearts")],
            Self::Cat => &[("cat", "cats"), ("kitten", "kittens")],
            Self::Bird => &[("bird", "birds")],
            Self::Balloon => &[("balloon", "balloons")],
            Self::Mushroom => &[("mushroom", "mushrooms"), ("toadstool", "toadstools")],
            Self::Butterfly => &[("butterfly", "butterflies")],
            Self::Cup => &[("cup", "cups"), ("mug", "mugs")],
            Self::Tent => &[("tent", "tents")],
            Self::Rocket => &[("rocket", "rockets"), ("spaceship", "spaceships")],
            Self::Sun => &[("sun", "suns")],
            Self::Moon => &[("moon", "moons"), ("crescent moon", "crescent moons")],
        }
    }

    /// What it does on the ground.
    pub(super) fn verb(self) -> &'static str {
        match self {
            Self::Ball | Self::Fish => "lying",
            Self::House | Self::Car | Self::Umbrella | Self::Cup | Self::Tent | Self::Rocket => {
                "standing"
            }
            Self::Tree | Self::Flower | Self::Mushroom => "growing",
            Self::Boat => "resting",
            Self::Cat | Self::Bird => "sitting",
            Self::Mountain => "rising",
            Self::Star | Self::Heart | Self::Sun | Self::Moon => "glowing",
            Self::Kite | Self::Balloon | Self::Butterfly => "floating",
        }
    }

    /// Whether it belongs above other things.
    pub(super) fn is_airy(self) -> bool {
        match self {
            Self::Star
            | Self::Kite
            | Self::Heart
            | Self::Bird
            | Self::Balloon
            | Self::Butterfly
            | Self::Rocket
            | Self::Sun
            | Self::Moon => true,
            Self::Ball
            | Self::House
            | Self::Tree
            | Self::Car
            | Self::Boat
            | Self::Fish
            | Self::Flower
            | Self::Umbrella
            | Self::Mountain
            | Self::Cat
            | Self::Mushroom
            | Self::Cup
            | Self::Tent => false,
        }
    }
}

/// The colour of a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hue {
    Red,
    Blue,
    Green,
    Yellow,
    Orange,
    Purple,
    Pink,
    White,
    Black,
    Brown,
}

impl Hue {
    /// All of them.
    pub(super) const ALL: [Self; 10] = [
        Self::Red,
        Self::Blue,
        Self::Green,
        Self::Yellow,
        Self::Orange,
        Self::Purple,
        Self::Pink,
        Self::White,
        Self::Black,
        Self::Brown,
    ];

    /// Its word and its usual shade.
    pub(super) fn name_and_color(self) -> (&'static str, Color) {
        match self {
            Self::Red => ("red", [218.0, 36.0, 38.0]),
            Self::Blue => ("blue", [38.0, 78.0, 214.0]),
            Self::Green => ("green", [34.0, 150.0, 58.0]),
            Self::Yellow => ("yellow", [248.0, 218.0, 40.0]),
            Self::Orange => ("orange", [246.0, 136.0, 22.0]),
            Self::Purple => ("purple", [132.0, 56.0, 178.0]),
            Self::Pink => ("pink", [250.0, 138.0, 188.0]),
            Self::White => ("white", [246.0, 246.0, 246.0]),
            Self::Black => ("black", [30.0, 30.0, 33.0]),
            Self::Brown => ("brown", [122.0, 76.0, 40.0]),
        }
    }

    /// Its word.
    pub(super) fn name(self) -> &'static str {
        self.name_and_color().0
    }
}

/// Where a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Grass,
    Sea,
    Beach,
    Night,
    Snow,
    Road,
    Sunset,
    Sky,
    Wall,
    Floor,
}

impl Place {
    /// All of them.
    pub(super) const ALL: [Self; 10] = [
        Self::Grass,
        Self::Sea,
        Self::Beach,
        Self::Night,
        Self::Snow,
        Self::Road,
        Self::Sunset,
        Self::Sky,
        Self::Wall,
        Self::Floor,
    ];

    /// Behind a thing: "… on green grass"; the first is the usual one.
    pub(super) fn phrases(self) -> &'static [&'static str] {
        match self {
            Self::Grass => &["on green grass", "on the grass", "on a lawn", "in a green meadow"],
            Self::Sea => &["on the blue sea", "on the water", "in the ocean", "on blue water"],
            Self::Beach => &["on yellow sand", "on the beach", "in the sand", "on a sandy beach"],
            Self::Night => {
                &["in the night sky", "under the stars", "at night", "in a dark starry sky"]
            }
            Self::Snow => &["in the snow", "on white snow", "on a snowy field", "in winter snow"],
            Self::Road => &["on a grey road", "on the street", "on the road", "on grey asphalt"],
            Self::Sunset => &[
                "in front of a pink sunset",
                "at sunset",
                "under a pink evening sky",
                "in the evening under a pink sky",
            ],
            Self::Sky => &[
                "in the blue sky",
                "among white clouds",
                "high in the sky",
                "in a blue sky with clouds",
            ],
            Self::Wall => &[
                "in front of a brick wall",
                "by a wall of bricks",
                "before a brick wall",
                "next to a brick wall",
            ],
            Self::Floor => &[
                "on a wooden floor",
                "on wooden boards",
                "on the wooden floor",
                "on a floor of planks",
            ],
        }
    }

    /// In front of "with a red ball".
    pub(super) fn nouns(self) -> &'static [&'static str] {
        match self {
            Self::Grass => &["green grass", "a green lawn"],
            Self::Sea => &["the blue sea", "water and waves"],
            Self::Beach => &["a sandy beach", "yellow sand"],
            Self::Night => &["a night sky", "a starry sky"],
            Self::Snow => &["a snowy field", "white snow"],
            Self::Road => &["a grey road", "a street"],
            Self::Sunset => &["a pink sunset", "a pink evening sky"],
            Self::Sky => &["a blue sky", "white clouds in the sky"],
            Self::Wall => &["a brick wall", "a wall of bricks"],
            Self::Floor => &["a wooden floor", "wooden planks"],
        }
    }

    /// What a thing does there.
    pub(super) fn verb(self, subject: Subject) -> &'static str {
        match self {
            Self::Grass
            | Self::Beach
            | Self::Snow
            | Self::Road
            | Self::Sunset
            | Self::Wall
            | Self::Floor => subject.verb(),
            Self::Sea => "floating",
            Self::Night | Self::Sky => "hovering",
        }
    }

    /// Whether a thing of this colour would be lost in it.
    pub(super) fn hides(self, hue: Hue) -> bool {
        match self {
            Self::Grass => hue == Hue::Green,
            Self::Sea | Self::Sky => hue == Hue::Blue,
            Self::Beach => hue == Hue::Yellow,
            Self::Night => hue == Hue::Black,
            Self::Snow => hue == Hue::White,
            Self::Road => false,
            Self::Sunset => hue == Hue::Pink,
            Self::Wall => matches!(hue, Hue::Red | Hue::Brown),
            Self::Floor => matches!(hue, Hue::Brown | Hue::Orange),
        }
    }
}
