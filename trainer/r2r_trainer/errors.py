"""What a person can put right: the message says where it is wrong and what to do. Codes are stable."""

from __future__ import annotations

CODES = {
    "CONFIG_INVALID": "the configuration, or a flag, asks for what cannot be",
    "LABEL_SET_INVALID": "the label set lacks something, or holds what no label set holds",
    "SLM_INVALID": "the SLM's folder does not give its embedding or LM head",
    "OUTPUT_INVALID": "the output folder cannot be used",
    "STATE_INVALID": "the state of an interrupted run does not belong to this one, or cannot be read",
    "DEVICE_INVALID": "the device that was asked for is not there",
    "DEPENDENCY_MISSING": "a Python package that was asked for is not installed",
    "MEMORY_EXHAUSTED": "the GPU, or the machine, has too little memory",
    "TRAINING_DIVERGED": "the loss is no longer a number",
}


class TrainerError(Exception):
    """`subject`: the file, field or column at fault."""

    def __init__(self, code: str, subject: str, problem: str, fix: str) -> None:
        assert code in CODES
        super().__init__(f"{subject}: {problem}; {fix}")
        self.code, self.subject, self.problem, self.fix = code, subject, problem, fix
