//! Our optimiser and blocks against libtorch's own.
use rlx::Rng;
use rlx_nn::{
    Activation, Adam, AdamConfig, Gru, Layout, Mlp, NativeMlp, Params, TensorAdam, adam, native::Workspace, upload,
};
use tch::{
    Device, Kind, Tensor,
    nn::{self, OptimizerConfig, RNN},
};

fn random(rng: &mut Rng, n: usize) -> Vec<f32> {
    (0..n).map(|_| rng.normal() as f32).collect()
}

fn worst(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// A hundred steps on the same gradients, by libtorch's optimiser, by ours over a slice and by ours over a tensor.
fn hundred_steps(decay: f64, decoupled: bool) {
    let n = 64;
    let mut rng = Rng::stream(7, 1);
    let start = random(&mut rng, n);
    let config = AdamConfig { weight_decay: decay, decoupled, ..AdamConfig::default() };
    let store = nn::VarStore::new(Device::Cpu);
    let mut theirs = store.root().var("x", &[n as i64], nn::Init::Const(0.0));
    tch::no_grad(|| theirs.copy_(&Tensor::from_slice(&start)));
    let mut optimiser = if decoupled {
        nn::AdamW { wd: decay, ..nn::AdamW::default() }.build(&store, 1e-2).unwrap()
    } else {
        nn::Adam { wd: decay, ..nn::Adam::default() }.build(&store, 1e-2).unwrap()
    };
    let mut slice = start.clone();
    let mut ours = Adam::new(config, n);
    let mut flat = Tensor::from_slice(&start);
    let mut over_tensor = TensorAdam::new(config, &flat);
    for step in 0..100 {
        // Gradients of very different sizes, some of them zero for a while.
        let scale = if step % 10 == 0 { 100.0 } else { 1.0 };
        let grads: Vec<f32> = random(&mut rng, n)
            .iter()
            .enumerate()
            .map(|(i, g)| if i < 8 && step < 30 { 0.0 } else { g * scale })
            .collect();
        let rate = 1e-2 / (1.0 + f64::from(step) / 50.0);
        optimiser.set_lr(rate);
        optimiser.zero_grad();
        (&theirs * Tensor::from_slice(&grads)).sum(Kind::Float).backward();
        optimiser.step();
        ours.step(&mut slice, &grads, rate);
        over_tensor.step(&mut flat, &Tensor::from_slice(&grads), rate);
        let expected = upload::to_vec(&theirs).unwrap();
        assert!(worst(&expected, &slice) < 1e-6, "slice, step {step}: {}", worst(&expected, &slice));
        assert!(worst(&expected, &upload::to_vec(&flat).unwrap()) < 1e-6, "tensor, step {step}");
        if step == 50 {
            // Written down in the middle and taken up by fresh ones.
            let (a, b) = (ours.to_bytes(), over_tensor.to_bytes().unwrap());
            (ours, over_tensor) = (Adam::new(config, n), TensorAdam::new(config, &flat));
            ours.restore(&a).unwrap();
            over_tensor.restore(&b).unwrap();
            assert_eq!((ours.to_bytes(), over_tensor.to_bytes().unwrap()), (a, b));
        }
    }
    assert!(Adam::new(config, n + 1).restore(&ours.to_bytes()).is_err(), "of another size");
    assert!(
        Adam::new(AdamConfig { beta1: 0.8, ..config }, n).restore(&ours.to_bytes()).is_err(),
        "of other hyperparameters"
    );
}

#[test]
fn adam_is_torchs() {
    hundred_steps(0.0, false);
    hundred_steps(0.1, false);
}

#[test]
fn adamw_is_torchs() {
    hundred_steps(0.1, true);
}

#[test]
fn clipping_by_the_global_norm() {
    let mut grads = vec![3.0f32, 4.0, 0.0, 12.0];
    let mut tensor = Tensor::from_slice(&grads);
    assert!((adam::clip_grad_norm(&mut grads, 6.5) - 13.0).abs() < 1e-6);
    assert!((adam::clip_grad_norm_tensor(&mut tensor, 6.5).double_value(&[]) - 13.0).abs() < 1e-6);
    assert!(worst(&grads, &[1.5, 2.0, 0.0, 6.0]) < 1e-5 && worst(&grads, &upload::to_vec(&tensor).unwrap()) < 1e-6);
    let before = grads.clone();
    adam::clip_grad_norm(&mut grads, 100.0);
    assert_eq!(before, grads, "a small gradient is left alone");
}

#[test]
fn the_native_perceptron_is_autograds() {
    for activation in [Activation::Tanh, Activation::Relu, Activation::Elu, Activation::Silu] {
        let sizes = [5, 32, 16, 3];
        let (mut native_layout, mut layout) = (Layout::new(), Layout::new());
        let native = NativeMlp::new(&mut native_layout, "net", &sizes, activation, 0.5);
        let mlp = Mlp::new(&mut layout, "net", &sizes, activation, 0.5);
        assert_eq!(layout, native_layout, "one layout, one start");
        let mut params = Params::new(layout, 3, Device::Cpu).unwrap();
        let flat = params.to_vec().unwrap();
        let mut rng = Rng::stream(2, 2);
        for batch in [1, 7, 64] {
            let (x, dy) = (random(&mut rng, batch * 5), random(&mut rng, batch * 3));
            let mut work = Workspace::default();
            let y = native.forward(&flat, &x, &mut work).to_vec();
            let mut grads = vec![0.0; flat.len()];
            native.backward(&flat, &x, &dy, &mut work, &mut grads);
            let input = Tensor::from_slice(&x).view([batch as i64, 5]);
            let out = mlp.forward(&params, &input);
            (&out * Tensor::from_slice(&dy).view([batch as i64, 3])).sum(Kind::Float).backward();
            assert!(worst(&y, &upload::to_vec(&out.reshape([-1])).unwrap()) < 1e-5, "{activation:?}");
            let expected = upload::to_vec(&params.take_grads()).unwrap();
            let size = expected.iter().fold(1.0f32, |a, g| a.max(g.abs()));
            assert!(worst(&grads, &expected) < 1e-5 * size, "{activation:?}: {}", worst(&grads, &expected));
        }
    }
}

#[test]
fn the_gru_is_torchs_and_starts_anew_with_an_episode() {
    let (inputs, size, ticks, batch) = (4i64, 6i64, 5i64, 3i64);
    let store = nn::VarStore::new(Device::Cpu);
    let config = nn::RNNConfig { batch_first: false, ..Default::default() };
    let theirs = nn::gru(store.root(), inputs, size, config);
    let mut layout = Layout::new();
    let ours = Gru::new(&mut layout, "gru", inputs as usize, size as usize);
    let params = Params::new(layout, 1, Device::Cpu).unwrap();
    // Their parameters into ours, by torch's names: in the order ih weight, ih bias, hh weight, hh bias.
    let variables = store.variables();
    for (piece, name) in ["weight_ih_l0", "bias_ih_l0", "weight_hh_l0", "bias_hh_l0"].iter().enumerate() {
        tch::no_grad(|| params.leaf(piece).shallow_clone().copy_(&variables[*name]));
    }
    let x = Tensor::rand([ticks, batch, inputs], (Kind::Float, Device::Cpu));
    let zeros = Tensor::zeros([batch, size], (Kind::Float, Device::Cpu));
    let (expected, _) = theirs.seq_init(&x, &nn::GRUState(zeros.unsqueeze(0)));
    let start = Tensor::zeros([ticks, batch, 1], (Kind::Float, Device::Cpu));
    let states = ours.forward(&params, &x, &zeros, &start);
    assert!((&states - &expected).abs().max().double_value(&[]) < 1e-6);
    // An episode that starts at tick 2 knows nothing of what was before.
    let _ = start.get(2).fill_(1.0);
    let cut = ours.forward(&params, &x, &zeros, &start);
    let fresh = ours.forward(
        &params,
        &x.narrow(0, 2, ticks - 2),
        &zeros,
        &start.narrow(0, 3, 2).constant_pad_nd([0, 0, 0, 0, 1, 0]),
    );
    assert!((cut.narrow(0, 2, ticks - 2) - fresh).abs().max().double_value(&[]) < 1e-6);
    assert!((cut.narrow(0, 0, 2) - expected.narrow(0, 0, 2)).abs().max().double_value(&[]) < 1e-6);
}

#[test]
fn leaves_share_the_flat_tensor_and_lerp_moves_all() {
    let mut layout = Layout::new();
    let mlp = Mlp::new(&mut layout, "net", &[3, 4, 2], Activation::Tanh, 1.0);
    let (mut a, b) =
        (Params::new(layout.clone(), 1, Device::Cpu).unwrap(), Params::new(layout.clone(), 2, Device::Cpu).unwrap());
    let (x, y) = (a.to_vec().unwrap(), b.to_vec().unwrap());
    a.lerp_from(&b, 0.25);
    let expected: Vec<f32> = x.iter().zip(&y).map(|(x, y)| x + 0.25 * (y - x)).collect();
    assert!(worst(&a.to_vec().unwrap(), &expected) < 1e-6);
    // A step on the flat tensor is seen through the leaves.
    let input = Tensor::ones([1, 3], (Kind::Float, Device::Cpu));
    a.set(&vec![0.0; layout.len()]).unwrap();
    assert_eq!(upload::to_vec(&mlp.forward(&a, &input)).unwrap(), [0.0, 0.0]);
    assert!(a.set(&[0.0]).is_err());
}
