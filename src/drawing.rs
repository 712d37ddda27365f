//! What a world looks like, for pictures of it: solids and words, without a word on how they are drawn.

/// A solid in its own frame. Lengths are metres, or whatever the world counts in.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// A box of those half edges.
    Box([f32; 3]),
    /// A ball.
    Ball {
        /// Its radius.
        radius: f32,
    },
    /// A cylinder about the y axis.
    Cylinder {
        /// Its radius.
        radius: f32,
        /// Half its height.
        half: f32,
    },
    /// A cylinder about the y axis with half a ball on either end.
    Capsule {
        /// Its radius.
        radius: f32,
        /// Half the distance between the middles of its balls.
        half: f32,
    },
    /// Triangles, counter-clockwise when seen from outside.
    Mesh {
        /// Corners.
        points: Vec<[f32; 3]>,
        /// Three corners each.
        triangles: Vec<[u32; 3]>,
    },
}

/// A solid somewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Body {
    /// What it is.
    pub shape: Shape,
    /// Red, green, blue, and how opaque it is (255: wholly). What is translucent is no thing but a mark, as of a goal.
    pub colour: [u8; 4],
    /// Where it is.
    pub at: [f32; 3],
    /// How it is turned: a unit quaternion x, y, z, w.
    pub turn: [f32; 4],
}

/// From where a world is best seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Camera {
    /// Where the eye is; z is up.
    pub eye: [f32; 3],
    /// What it looks at.
    pub target: [f32; 3],
    /// The whole vertical angle that it sees, rad.
    pub angle: f32,
}

/// What a world looks like at one moment. The bodies of an episode are the same at every moment, in the same order; where they are,
/// how they are turned and their colours may differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    /// What is there.
    pub bodies: Vec<Body>,
    /// From where it is seen.
    pub camera: Camera,
    /// Seconds between two ticks.
    pub tick_s: f32,
    /// Whether the goal is reached now; None for a world without one.
    pub success: Option<bool>,
    /// Further words beside the picture: name and value.
    pub notes: Vec<(String, String)>,
}
