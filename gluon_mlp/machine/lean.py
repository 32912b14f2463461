"""MXNet's blocks, loss and updates, leaner: the same bits in less time.

On two processors, an operator that uses both has to wait while Python works.
So every microsecond of Python counts. The tests compare the bits with those
of MXNet's own, and nothing here is used if the environment has
`GLUON_MLP_UNTUNED`.
"""
import ctypes
import os
from functools import lru_cache

import mxnet
from mxnet import current_context, engine, gluon, np, optimizer
from mxnet.base import _LIB, NDArrayHandle, c_str_array, check_call

from .compat import UNTUNED

VERSION_1 = mxnet.__version__.startswith('1.')
_invoke = _LIB.MXImperativeInvokeEx if VERSION_1 else _LIB.MXImperativeInvoke
_no_types = ctypes.byref(ctypes.POINTER(ctypes.c_int)())
_update_of_mxnet = gluon.Trainer._update
_call_of_mxnet = gluon.HybridBlock.__call__


class Operator:
    """An operator of MXNet that writes its result into a given array.

    MXNet takes an operator's parameters as text. Here they become text once,
    and not at every call.
    """

    def __init__(self, name, **params):
        self._handle = ctypes.c_void_p()
        check_call(_LIB.NNGetOpHandle(name.encode(),
                                      ctypes.byref(self._handle)))
        self._params = (len(params), c_str_array(params),
                        c_str_array([str(v) for v in params.values()]))

    def __call__(self, *arrays, out):
        inputs = (NDArrayHandle * len(arrays))(*[a.handle for a in arrays])
        outputs = ctypes.cast((NDArrayHandle * 1)(out.handle),
                              ctypes.POINTER(NDArrayHandle))
        check_call(_invoke(self._handle, len(arrays), inputs,
                           ctypes.byref(ctypes.c_int(1)),
                           ctypes.byref(outputs), *self._params, _no_types))


@lru_cache(maxsize=256)
def sgd_update(lr, wd, rescale_grad):
    """The operator of one step: (1 - lr wd) w - lr (rescale_grad g)."""
    if wd and VERSION_1:  # MXNet calls this one, and its rounding differs
        return Operator('multi_sgd_update', num_weights=1, lrs=[lr], wds=[wd],
                        rescale_grad=rescale_grad)
    return Operator('sgd_update', lr=lr, wd=wd, rescale_grad=rescale_grad,
                    lazy_update=False)


def sgd(params, lr, batch_size):
    """Take the step of `d2l.sgd`, with one operator a parameter, not three.

    Does so only if `batch_size` is a power of two, and returns whether it
    is. Then 1 / batch_size is exact, and every new value that is finite and
    not below 1.2e-38 has the same bits.
    """
    exact = UNTUNED not in os.environ and batch_size & (batch_size - 1) == 0
    if exact:
        update = sgd_update(1 / batch_size, 0.0, lr)
        with engine.bulk(len(params)):
            for param in params:
                update(param, param.grad, out=param)
    return exact


def tune():
    """Let every `Trainer` update by `_update`, and run blocks by `_call`."""
    if UNTUNED not in os.environ:
        gluon.Trainer._update = _update
        if VERSION_1:
            gluon.HybridBlock.__call__ = _call


def _update(trainer, ignore_stale_grad=False):
    """`Trainer._update` for SGD without extras; MXNet's own for the rest."""
    if ignore_stale_grad or not _is_plain(trainer):
        return _update_of_mxnet(trainer, ignore_stale_grad)
    params = [(i, param) for i, param in enumerate(trainer._params)
              if param.grad_req != 'null']
    arrays = [param.data() for _, param in params]
    if not all(a._fresh_grad for a in arrays):
        return _update_of_mxnet(trainer, ignore_stale_grad)  # to name it
    indices, sgd = [i for i, _ in params], trainer._optimizer
    sgd._update_count(indices)
    with engine.bulk(len(params)):
        for (_, param), a, lr, wd in zip(params, arrays,
                                         sgd._get_lrs(indices),
                                         sgd._get_wds(indices)):
            update = sgd_update(lr, wd, sgd.rescale_grad)
            update(a, param.grad(), out=a)
            a._fresh_grad = False


def _is_plain(trainer):
    sgd = trainer._optimizer
    return (type(sgd) is optimizer.SGD and not sgd.momentum
            and not sgd.clip_gradient and not sgd.multi_precision
            and sgd.aggregate_num < 2 and len(trainer._updaters) == 1
            and not (trainer._kvstore and trainer._update_on_kvstore)
            and not hasattr(trainer, '_amp_loss_scaler')
            and all(param._stype == param._grad_stype == 'default'
                    for param in trainer._params))


class _SoftmaxCrossEntropy(gluon.HybridBlock):
    """Gluon's loss for outputs (n, classes), less its mean over one number.

    Forward and backward, that mean wakes a second thread for n numbers.
    """

    def hybrid_forward(self, F, y_hat, y):
        return -F.npx.pick(F.npx.log_softmax(y_hat, -1), y, axis=-1)


def compiled(loss):
    """`loss` as one operator instead of many, if it is a block of Gluon."""
    if not isinstance(loss, gluon.HybridBlock):
        return loss
    loss.hybridize()
    if UNTUNED in os.environ or not VERSION_1 or not _is_plain_loss(loss):
        return loss
    short = _SoftmaxCrossEntropy()
    short.hybridize()
    return lambda y_hat, y: (short if y_hat.ndim == 2 else loss)(y_hat, y)


def _is_plain_loss(loss):
    return (type(loss) is gluon.loss.SoftmaxCrossEntropyLoss
            and loss._axis == -1 and loss._sparse_label
            and not loss._from_logits and loss._weight is None)


def _call(block, *args):
    """`HybridBlock.__call__`, for a compiled block with one result."""
    if not _is_compiled(block, args):
        return _call_of_mxnet(block, *args)
    return block._cached_op(*[args[i] if is_arg else i.data()
                              for is_arg, i in block._cached_op_args])


def _is_compiled(block, args):
    return (block._active and block._cached_op
            and type(block).forward is gluon.HybridBlock.forward
            and block._in_format == [0] * len(args)
            and block._out_format in ([0], 0)
            and all(type(a) is np.ndarray for a in args)
            and not (block._forward_hooks or block._forward_pre_hooks
                     or block._callback)
            and args[0].ctx == current_context())
