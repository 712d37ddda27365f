//! Where what stands in an observation row: Fetch's order, for any number of things.
use rlx::Field;

/// Fields in the order of a row.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    pub fields: Vec<Field>,
    pub width: usize,
}

impl Layout {
    pub fn add(&mut self, name: &str, width: usize, unit: &str) -> &mut Self {
        self.fields.push(Field::new(name, self.width..self.width + width, unit));
        self.width += width;
        self
    }

    /// What [`crate::scene::Scene::observe`] writes: 10 scalars and 15 for each thing, velocities per control step as Fetch has them,
    /// those of things relative to the tool's.
    pub fn robot(things: &[&str]) -> Self {
        let mut row = Self::default();
        row.add("grip_pos", 3, "m");
        for thing in things {
            row.add(&format!("{thing}_pos"), 3, "m").add(&format!("{thing}_rel_pos"), 3, "m");
        }
        row.add("gripper_state", 2, "m");
        for thing in things {
            row.add(&format!("{thing}_rot"), 3, "rad").add(&format!("{thing}_velp"), 3, "m/step").add(
                &format!("{thing}_velr"),
                3,
                "rad/step",
            );
        }
        row.add("grip_velp", 3, "m/step").add("gripper_vel", 2, "m/step");
        row
    }
}
