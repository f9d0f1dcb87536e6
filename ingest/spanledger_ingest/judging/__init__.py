"""A language model as a judge of what the words alone cannot tell: off by default, sampled, within a daily budget."""

from spanledger_ingest.judging._area import Judging
from spanledger_ingest.judging._endpoint import Endpoint, JudgeError, Reply
from spanledger_ingest.judging._prompt import NAME, Task, task_of
from spanledger_ingest.judging._purse import Purse
from spanledger_ingest.judging._setup import JudgeSetup, judge_setup
from spanledger_ingest.judging._worker import JudgeStats, Worker

__all__ = [
    "NAME",
    "Endpoint",
    "JudgeError",
    "JudgeSetup",
    "JudgeStats",
    "Judging",
    "Purse",
    "Reply",
    "Task",
    "Worker",
    "judge_setup",
    "task_of",
]
