//! A small random LLaMA for tests and examples: no download, no file.
use super::{
    config::{BlockShape, Config},
    model::{Block, Linear, Model, Projection},
};
use crate::quant::Matrix;
use rlx::Rng;
use tch::{Device, Kind, Tensor};

/// The architecture of [`tiny`]: 3 blocks of 4 heads over 2 groups, 64 wide, 96 channels, 97 tokens.
pub fn tiny_config() -> Config {
    Config {
        vocab: 97,
        width: 64,
        head_dim: 16,
        context: 256,
        rope_theta: 10_000.0,
        rope_scaling: None,
        eps: 1e-5,
        tied: true,
        blocks: vec![BlockShape { heads: 4, kv_heads: 2, ffn: 96 }; 3],
        bos: Some(1),
        eos: vec![2],
    }
}

/// A model of that architecture with normal weights of a size that keeps activations of order one.
pub fn random(config: &Config, seed: u64) -> Model {
    let mut number = 0;
    let mut normal = |rows: usize, columns: usize, std: f64| {
        let mut rng = Rng::named(seed, "random model", number);
        number += 1;
        let x: Vec<f32> = (0..rows * columns).map(|_| (rng.normal() * std) as f32).collect();
        Tensor::from_slice(&x).reshape([rows as i64, columns as i64])
    };
    let ones = || Tensor::ones([config.width as i64], (Kind::Float, Device::Cpu));
    let embedding = Matrix::Dense(normal(config.vocab, config.width, 0.3));
    let head = (!config.tied).then(|| Matrix::Dense(normal(config.vocab, config.width, 0.3)));
    let blocks = config.blocks.iter().map(|shape| Block {
        shape: *shape,
        attention_norm: ones(),
        mlp_norm: ones(),
        projections: Projection::ALL.map(|p| {
            let [rows, columns] = p.size(config, shape);
            Linear::new(Matrix::Dense(normal(rows, columns, 1.0 / (columns as f64).sqrt())))
        }),
    });
    let blocks = blocks.collect();
    Model { config: config.clone(), embedding, blocks, norm: ones(), head, rope_factors: None, compute: Kind::Float }
}

/// The tiny random model of a seed.
pub fn tiny(seed: u64) -> Model {
    random(&tiny_config(), seed)
}
