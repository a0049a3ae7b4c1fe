"""What a person can put right, or another step: the message says where it is wrong and what to do. Codes are stable."""

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
    "NO_SPACE": "the output's volume is full",
    # those of the pipeline's other steps (src/pipeline/errors.ts), where it is their data
    "PIPELINE_INPUT_MISSING": "the construct step is not done, or no longer",
    "PIPELINE_PART_CORRUPT": "a file of the construct step is not what was written",
    "PIPELINE_WORKSPACE": "the workspace cannot be read or written",
}
RETRYABLE = {"NO_SPACE", "PIPELINE_PART_CORRUPT", "PIPELINE_WORKSPACE"}


class TrainerError(Exception):
    """`subject`: the file, field or column at fault. `faulty_step`: whose data is at fault; running that step again mends it."""

    def __init__(self, code: str, subject: str, problem: str, fix: str, faulty_step: str | None = None) -> None:
        assert code in CODES
        super().__init__(f"{subject}: {problem}; {fix}")
        self.code, self.subject, self.problem, self.fix, self.faulty_step = code, subject, problem, fix, faulty_step

    @property
    def retryable(self) -> bool:
        """Whether running it again may help."""
        return self.code in RETRYABLE
