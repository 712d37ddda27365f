//! Keys of `config.json`: what contradicts, what changes the model, what was published and is read; and the types of what is written.
use crate::llama::{Config, RopeScaling, tiny_config};
use serde_json::{Value as Json, json};

fn parsed(change: Json) -> rlx::Result<Config> {
    let mut all = tiny_config().to_transformers(tiny_config().blocks[0], "float32");
    for (key, value) in change.as_object().unwrap() {
        if value == "(left out)" {
            all.as_object_mut().unwrap().remove(key);
        } else {
            all[key] = value.clone();
        }
    }
    Config::from_transformers(all.as_object().unwrap())
}

#[test]
fn a3_keys_that_contradict_each_other_are_refused() {
    for (change, said) in [
        // transformers takes rope_scaling whole and falls back to the base 10,000.
        (
            json!({"rope_parameters": {"rope_theta": 777.0, "rope_type": "default"}, "rope_scaling": {"type": "linear", "factor": 2.0}}),
            "rope_parameters and rope_scaling",
        ),
        (
            json!({"rope_theta": 1e4, "rope_parameters": {"rope_theta": 777.0}}),
            "rope_theta is 10000, and 777 in rope_parameters",
        ),
        (
            json!({"rope_theta": 1e4, "rope_scaling": {"rope_theta": 5e5, "type": "linear", "factor": 2}}),
            "500000 in rope_scaling",
        ),
        (
            json!({"rope_scaling": {"type": "linear", "rope_type": "llama3", "factor": 2.0}}),
            "rope_type is 'llama3' and type is 'linear'",
        ),
        (json!({"rope_scaling": {"factor": 4.0}}), "without a rope_type"),
        (json!({"rope_scaling": {"rope_type": "default", "factor": 4.0}}), "factor is 4.0; not supported"),
        (
            json!({"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64}, "original_max_position_embeddings": 128}),
            "original_max_position_embeddings is 128",
        ),
    ] {
        let text = parsed(change).unwrap_err().to_string();
        assert!(text.contains(said), "{text}");
    }
    // What says the same twice is no contradiction.
    for change in [
        json!({"rope_parameters": {"rope_type": "linear", "factor": 2.0}, "rope_scaling": {"rope_type": "linear", "factor": 2.0}}),
        json!({"rope_theta": 777.0, "rope_parameters": {"rope_theta": 777, "rope_type": "linear", "type": "linear", "factor": 2.0}}),
    ] {
        assert_eq!(parsed(change).unwrap().rope_scaling, Some(RopeScaling::Linear { factor: 2.0 }));
    }
    assert_eq!(
        parsed(json!({"rope_theta": "(left out)", "rope_parameters": {"rope_theta": 777.0}, "rope_scaling": null}))
            .unwrap()
            .rope_theta,
        777.0
    );
}

#[test]
fn a3_keys_that_change_the_model_are_refused_by_name() {
    for (key, value) in [
        ("rope_scaling", json!({"rope_type": "yarn", "factor": 4.0})),
        ("rope_scaling", json!({"type": "longrope", "factor": 4.0})),
        ("rope_scaling", json!({"type": "dynamic", "factor": 4.0})),
        ("rope_scaling", json!({"type": "linear", "factor": 4.0, "attention_factor": 1.2})),
        ("rope_scaling", json!("linear")),
        ("rope_parameters", json!({"full_attention": {"rope_theta": 1e4}})),
        ("rope_parameters", json!({"rope_theta": 1e4, "partial_rotary_factor": 0.5})),
        ("partial_rotary_factor", json!(0.5)),
        ("rope_interleaved", json!(true)),
        ("sliding_window", json!(64)),
        ("sliding_window", json!("64")),
        ("layer_types", json!(["full_attention", "sliding_attention", "full_attention"])),
        ("per_layer_config", json!({"1": {"intermediate_size": 64}})),
        ("attention_bias", json!(true)),
        ("attention_bias", json!("false")),
        ("mlp_bias", json!(true)),
        ("quantization_config", json!({"quant_method": "gptq"})),
        ("auto_map", json!({"AutoModelForCausalLM": "modeling.Other"})),
        ("architectures", json!(["LlamaForSequenceClassification"])),
        ("pruned_heads", json!({"0": [1]})),
        ("logits_scaling", json!(8.0)),
        ("embedding_multiplier", json!(12.0)),
        ("final_logit_softcapping", json!(30.0)),
        ("num_local_experts", json!(8)),
        ("pretraining_tp", json!("1")),
        ("invented_key", json!(false)),
        ("hidden_size", json!("64")),
        ("head_dim", json!(15.5)),
        ("rms_norm_eps", json!("1e-5")),
        ("rms_norm_eps", json!(null)),
        ("rope_theta", json!("10000")),
        ("rope_theta", json!(null)),
        ("hidden_act", json!(null)),
        ("tie_word_embeddings", json!("true")),
        ("eos_token_id", json!("2")),
        ("eos_token_id", json!(-1)),
        ("bos_token_id", json!([1, 2])),
    ] {
        let text = parsed(json!({key: value})).expect_err(key).to_string();
        let named = text.contains(key) || (key == "rope_scaling" && text.contains("rope scaling"));
        assert!(named && text.contains("config.json"), "{key} = {value}: {text}");
    }
}

#[test]
fn a3_a_mistral_has_the_defaults_of_a_mistral() {
    // transformers 5.23.0: 8 kv heads and a window of 4,096 tokens where nothing is said; null is no window, and in earlier versions a kv
    // head for each query head.
    let with = |more: Json| {
        let mut all = json!({"model_type": "mistral", "architectures": ["MistralForCausalLM"], "num_attention_heads": 16, "hidden_size": 256,
            "head_dim": 16.0, "num_key_value_heads": "(left out)", "max_position_embeddings": 4096});
        more.as_object().unwrap().iter().for_each(|(k, v)| all[k] = v.clone());
        parsed(all)
    };
    assert_eq!(with(json!({})).unwrap().blocks[0].kv_heads, 8);
    assert_eq!(with(json!({"num_key_value_heads": null})).unwrap().blocks[0].kv_heads, 16);
    let error = with(json!({"max_position_embeddings": 32768})).unwrap_err().to_string();
    assert!(error.contains("sliding_window is missing") && error.contains("4096"), "{error}");
    assert!(with(json!({"max_position_embeddings": 32768, "sliding_window": null})).is_ok());
    assert!(with(json!({"max_position_embeddings": 32768, "sliding_window": 32768})).is_ok());
}

/// Keys of configs as they were published, with the values of the tiny model: LLaMA 1 (decapoda), Llama 2, Llama 3.1, TinyLlama, SmolLM2,
/// transformers 5.
#[test]
fn a3_published_configs_are_not_refused() {
    for change in [
        json!({"architectures": ["LLaMAForCausalLM"], "bos_token_id": 0, "eos_token_id": 1, "max_sequence_length": 2048, "pad_token_id": -1,
            "initializer_range": 0.02, "torch_dtype": "float16", "transformers_version": "4.27.0.dev0", "use_cache": true}),
        json!({"_name_or_path": "meta-llama/Llama-2-7b-hf", "max_length": 4096, "pretraining_tp": 1, "rope_scaling": null, "attention_dropout": 0.0,
            "transformers_version": "4.31.0.dev0", "temperature": 0.9, "top_p": 0.6, "do_sample": true, "rope_theta": "(left out)"}),
        json!({"rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
            "rope_type": "llama3"}, "rope_theta": 500000.0, "eos_token_id": [2, 5, 6]}),
        json!({"is_llama_config": true, "rope_interleaved": false, "rope_scaling": null, "pad_token_id": 2,
            "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16"}}, "rope_theta": 100000}),
        json!({"dtype": "bfloat16", "torch_dtype": "(left out)", "rope_theta": "(left out)", "layer_types": ["full_attention"], "head_dim": null,
            "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}, "sliding_window": null, "unknown_and_null": null,
            "is_decoder": false, "output_attentions": false, "id2label": {"0": "LABEL_0"}, "chunk_size_feed_forward": 0, "problem_type": null}),
        json!({"pruned_heads": {}, "torchscript": false, "use_bfloat16": false, "tie_encoder_decoder": false, "num_beams": 1,
            "bad_words_ids": null, "exponential_decay_length_penalty": null, "tf_legacy_loss": false, "num_key_value_heads": null,
            "_attn_implementation_autoset": true, "hidden_size": 64.0}),
    ] {
        let text = change.to_string();
        parsed(change).unwrap_or_else(|e| panic!("{text}: {e}"));
    }
    assert_eq!(parsed(json!({"head_dim": 16.0, "vocab_size": 97.0})).unwrap(), tiny_config());
}

#[test]
fn a5_a14_exports_have_the_types_that_transformers_checks() {
    // transformers 5.23.0 refuses [] as an end token and warns of a trained context that is no integer.
    let mut model = tiny_config();
    (model.bos, model.eos) = (None, vec![]);
    model.rope_scaling = Some(RopeScaling::Llama3 {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 64.0,
    });
    let json = model.to_transformers(model.blocks[0], "float32");
    assert!(json["eos_token_id"].is_null() && json["bos_token_id"].is_null());
    assert!(json["rope_scaling"]["original_max_position_embeddings"].is_u64());
    for key in ["factor", "low_freq_factor", "high_freq_factor"] {
        assert!(json["rope_scaling"][key].is_f64(), "{key}");
    }
    for key in ["rope_theta", "rms_norm_eps"] {
        assert!(json[key].is_f64(), "{key}");
    }
    assert_eq!(Config::from_transformers(json.as_object().unwrap()).unwrap(), model);
    for (eos, right) in [(vec![2], json!(2)), (vec![2, 5], json!([2, 5]))] {
        model.eos = eos;
        assert_eq!(model.to_transformers(model.blocks[0], "float32")["eos_token_id"], right);
    }
}
