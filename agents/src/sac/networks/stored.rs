//! What is kept of [`Networks`]: checkpoints, which go on to the bit, and named arrays for other programs.
use super::{Net, Networks, State};
use crate::export;
use rlx::{Array, Error, LoadDir, Result, SaveDir, snapshot};

impl Net {
    fn save(&self, name: &str, to: &mut SaveDir) -> Result<()> {
        to.put(&format!("{name}.f32"), &bytes(&self.params))?;
        to.put(&format!("{name}.adam"), &self.adam.to_bytes())
    }
    fn load(&mut self, name: &str, from: &LoadDir) -> Result<()> {
        read(&mut self.params, name, from)?;
        self.adam.restore(&from.get(&format!("{name}.adam"))?)
    }
}

fn bytes(x: &[f32]) -> Vec<u8> {
    x.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn read(into: &mut [f32], name: &str, from: &LoadDir) -> Result<()> {
    let file = format!("{name}.f32");
    let bytes = from.get(&file)?;
    if bytes.len() != 4 * into.len() {
        return Err(Error::mismatch(&file, format!("{} parameters", into.len()), format!("{} bytes", bytes.len())));
    }
    for (x, b) in into.iter_mut().zip(bytes.chunks_exact(4)) {
        *x = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    }
    Ok(())
}

impl Networks {
    /// Everything as named arrays: the policy, its normaliser, and the critics.
    pub fn arrays(&self) -> Vec<Array> {
        let mut arrays = self.actor.layout.export(self.eval_params());
        if self.config.normalize_obs {
            arrays.extend(export::normalizer_arrays(&self.state.normalizer));
        }
        arrays.extend(export::action_arrays(self.scales.iter().copied()));
        arrays.extend(self.critics.iter().flat_map(|c| c.net.layout.export(&c.net.params)));
        arrays
    }

    /// Takes arrays of the same names and shapes over; the critics only where they are there.
    ///
    /// # Errors
    /// When the policy's are missing or of another shape.
    pub fn import(&mut self, arrays: &[Array]) -> Result<()> {
        self.actor.layout.import(arrays, &mut self.actor.params)?;
        if !self.average.is_empty() {
            self.average.copy_from_slice(&self.actor.params);
        }
        for critic in &mut self.critics {
            if critic.net.layout.import(arrays, &mut critic.net.params).is_ok() {
                critic.target_params.copy_from_slice(&critic.net.params);
            }
        }
        if self.config.normalize_obs {
            // As if from a few batches, so that the new environment's own statistics soon count for more.
            let count = 10.0 * self.config.batch_size as f64;
            export::import_normalizer(&mut self.state.normalizer, arrays, count);
        }
        Ok(())
    }

    pub fn save(&self, name: &str, to: &mut SaveDir) -> Result<()> {
        self.actor.save(&format!("{name}actor"), to)?;
        if !self.average.is_empty() {
            to.put(&format!("{name}average.f32"), &bytes(&self.average))?;
        }
        for (i, critic) in self.critics.iter().enumerate() {
            critic.net.save(&format!("{name}critic{i}"), to)?;
            to.put(&format!("{name}target{i}.f32"), &bytes(&critic.target_params))?;
        }
        let mut state = Vec::new();
        snapshot::put(&mut state, &self.state);
        snapshot::put(&mut state, &self.log_alpha);
        snapshot::put(&mut state, &self.alpha_adam.to_bytes());
        to.put(&format!("{name}core.bin"), &state)
    }

    pub fn load(&mut self, name: &str, from: &LoadDir) -> Result<()> {
        self.actor.load(&format!("{name}actor"), from)?;
        if !self.average.is_empty() {
            read(&mut self.average, &format!("{name}average"), from)?;
        }
        for (i, critic) in self.critics.iter_mut().enumerate() {
            critic.net.load(&format!("{name}critic{i}"), from)?;
            read(&mut critic.target_params, &format!("{name}target{i}"), from)?;
        }
        let bytes = from.get(&format!("{name}core.bin"))?;
        let mut rest = &bytes[..];
        let state: State = snapshot::take(&mut rest)?;
        if state.normalizer.mean().len() != self.obs {
            let (own, found) = (self.obs, state.normalizer.mean().len());
            return Err(Error::mismatch("saved normaliser", format!("{own} scalars"), found.to_string()));
        }
        self.state = state;
        self.log_alpha = snapshot::take(&mut rest)?;
        self.alpha_adam.restore(&snapshot::get::<Vec<u8>>(rest)?)
    }
}
