//! Decoder-only models of the LLaMA family: loading, running, surgery, recovery, judging, saving.
