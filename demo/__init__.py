"""Shows that one vLLM restores what another one has computed, on a real model and real text."""
