"""Several processes training one GAN: each computes its part of every batch, gradients are averaged.

Started by torchrun; gloo between CPUs, nccl between GPUs. z and the order of images are drawn for the whole batch and
cut, so any number of processes sees the same samples as one. On CPUs batch norm sees a process's part, as if one
process normalised in that many groups; on GPUs the processes share their moments, so the number of them changes
nothing. (torch's own SyncBatchNorm refuses CPU tensors, so no test without GPUs could hold it; ours runs on both.)
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.nn.functional import all_reduce


@dataclass(frozen=True)
class Replicas:
    """This process's place among the processes of a run; alone by default."""

    rank: int = 0
    world: int = 1

    def part(self, batch: int) -> slice:
        """Which images of a whole batch are this process's.

        Raises:
            ValueError: the batch cannot be cut evenly.
        """
        if batch % self.world:
            raise ValueError(f"batch_size {batch} cannot be cut among {self.world} processes; use a multiple")
        size = batch // self.world
        return slice(self.rank * size, (self.rank + 1) * size)

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its mean over the processes, in one exchange."""
        if self.world == 1:
            return
        tensors = list(tensors)
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.world
        for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view(tensor.shape))

    def average_with_gradient(self, tensor: Tensor) -> Tensor:
        """The mean over the processes, which gradients pass through."""
        if self.world == 1:
            return tensor
        return all_reduce(tensor) / self.world

    def agree(self, answer: bool) -> bool:
        """The first process's answer, in all of them."""
        if self.world == 1:
            return answer
        answers = [answer]
        dist.broadcast_object_list(answers)
        return answers[0]


def started_by_torchrun(device: str) -> Replicas:
    """Join the processes that torchrun started; alone where it did not."""
    if "WORLD_SIZE" not in os.environ or int(os.environ["WORLD_SIZE"]) == 1:
        return Replicas()
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    return Replicas(dist.get_rank(), dist.get_world_size())
