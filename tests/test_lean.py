"""The lean blocks, loss and updates give the bits of MXNet's own."""
import os
import subprocess
import sys

import numpy as onp
import pytest
from gluon_mlp.d2l import training
from gluon_mlp.machine import lean
from mxnet import autograd, gluon, np

original = lean._call_of_mxnet

TRAIN = """
import hashlib, sys
from gluon_mlp.d2l import training
from gluon_mlp.machine import lean
from mxnet import autograd, gluon, init, np, npx
npx.set_np()
calls, call = [], lean.Operator.__call__
lean.Operator.__call__ = lambda *args, **kwargs: (
    calls.append(1), call(*args, **kwargs))
for options in ({}, {'wd': 3}, {'momentum': 0.9}, {'clip_gradient': 0.01}):
    net = gluon.nn.Dense(7, in_units=143)
    net.initialize(init.Normal(1))
    net.bias.wd_mult = 0
    trainer = gluon.Trainer(net.collect_params(), 'sgd',
                            {'learning_rate': 0.1, **options})
    for batch_size in (5, 5, 3):
        with autograd.record():
            l = net(np.random.normal(size=(batch_size, 143)))
        l.backward()
        trainer.step(batch_size)
        trainer.set_learning_rate(0.7 * trainer.learning_rate)
    print(options, trainer.optimizer.num_update,
          *(hashlib.sha1(param.data().asnumpy()).hexdigest()
            for param in net.collect_params().values()))
print(len(calls), file=sys.stderr)
"""


@pytest.mark.slow
@pytest.mark.mxnet
def test_a_trainer_gives_mxnets_bits():
    """With weight decay, momentum, clipping and another rate, too."""
    tuned, untuned = (subprocess.run(
        [sys.executable, '-c', TRAIN], check=True, text=True,
        capture_output=True,
        env={**os.environ, 'MXNET_OPTIMIZER_AGGREGATION_SIZE': '0', **env})
        for env in ({}, {'GLUON_MLP_UNTUNED': '1'}))
    assert tuned.stdout == untuned.stdout and 'wd' in tuned.stdout
    # 2 parameters, 3 steps; plain and with weight decay.
    assert tuned.stderr.splitlines()[-1] == '12'
    assert untuned.stderr.splitlines()[-1] == '0'


def test_a_stale_gradient_is_still_refused():
    """A second step without `backward` raises MXNet's own warning."""
    net = gluon.nn.Dense(2, in_units=3)
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), 'sgd')
    with autograd.record():
        l = net(np.ones((4, 3)))
    l.backward()
    trainer.step(4)
    with pytest.raises(UserWarning, match='has not been updated by backward'):
        trainer.step(4)


@pytest.mark.parametrize('lr', [0.1, 0.5, 0.003, 7.3])
@pytest.mark.parametrize('batch_size', [1, 8, 256, 1024])
def test_one_operator_gives_the_bits_of_sgd(lr, batch_size):
    """Numbers of all sizes, zeros and gradients that are not finite."""
    draw = onp.random.RandomState(0)
    values, grads = (
        (draw.standard_normal(100000) * 10 ** draw.uniform(-25, 25, 100000)
         ).astype('float32') for _ in range(2))
    values[:100], grads[50:150] = 0, -0.0
    grads[150:152] = onp.inf, onp.nan
    params = [np.array(values) for _ in range(2)]
    for param in params:
        param.attach_grad()
        param.grad[:] = np.array(grads)
    training.sgd(params[:1], lr, batch_size)
    assert lean.sgd(params[1:], lr, batch_size)
    ours, book = (param.asnumpy() for param in params)
    assert onp.isfinite(ours).sum() == 99998 and (ours != values).any()
    assert (ours.view('int32') == book.view('int32')).all()


def test_other_batch_sizes_are_left_to_sgd():
    """Division by 96 is no product with a number of float32."""
    param = np.ones(3)
    param.attach_grad()
    param.grad[:] = 1
    assert not lean.sgd([param], 0.1, 96)
    assert (param == 1).all()
    training.Updater([param], 0.1)(96)
    assert param.asnumpy() == pytest.approx(1 - 0.1 / 96)


def test_untuned_takes_the_step_of_sgd(monkeypatch):
    """With `GLUON_MLP_UNTUNED` no update is lean."""
    monkeypatch.setenv('GLUON_MLP_UNTUNED', '1')
    param = np.ones(3)
    param.attach_grad()
    assert not lean.sgd([param], 0.1, 256)


@pytest.mark.parametrize('shape', [(1, 2), (96, 10), (4, 3, 5)])
def test_the_compiled_loss_gives_the_bits_of_gluons(shape):
    """Losses and gradients, also of outputs with more axes."""
    draw = onp.random.RandomState(0)
    y_hat = np.array(9 * draw.standard_normal(shape), dtype='float32')
    y_hat.attach_grad()
    y = np.array(draw.randint(shape[-1], size=shape[:-1]), dtype='int32')
    results = []
    for compile_loss in (lambda loss: loss, lean.compiled):
        loss = compile_loss(gluon.loss.SoftmaxCrossEntropyLoss())
        with autograd.record():
            l = loss(y_hat, y)
        l.backward()
        results.append([a.asnumpy() for a in (l, y_hat.grad)])
    for own, book in zip(*results):
        assert own.shape == book.shape and own.any()
        assert (own.view('int32') == book.view('int32')).all()


def test_other_losses_are_compiled_as_they_are(monkeypatch):
    """A weight, another loss or a function is kept; so is all if untuned."""
    plain, L2 = gluon.loss.SoftmaxCrossEntropyLoss, gluon.loss.L2Loss()
    weighted = plain(weight=2)
    for loss in (weighted, L2, training.squared_loss):
        assert lean.compiled(loss) is loss
    assert weighted._active and L2._active
    monkeypatch.setenv('GLUON_MLP_UNTUNED', '1')
    loss = plain()
    assert lean.compiled(loss) is loss


@pytest.mark.skipif(not lean.VERSION_1, reason='MXNet 2 calls its own way')
def test_a_compiled_block_gives_the_bits_of_mxnets_call(monkeypatch):
    """Outputs, gradients and masks. A hook is still called."""
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(5, activation='relu'), gluon.nn.Dropout(0.5))
    net.initialize()
    net.hybridize(static_alloc=True, static_shape=True)
    X, slow = np.random.normal(size=(4, 3)), []
    net(X)
    monkeypatch.setattr(lean, '_call_of_mxnet', lambda block, *args: (
        slow.append(block), original(block, *args))[1])
    results = []
    for call in (lean._call, original):
        training.seed(1)
        with autograd.record():
            y = call(net, X)
        y.backward()
        results.append((y.asnumpy(), net[0].weight.grad().asnumpy()))
    assert not slow and results[0][0].any()
    for own, book in zip(*results):
        assert (own.view('int32') == book.view('int32')).all()
    net.register_forward_hook(lambda *args: results.append(args))
    net(X)
    assert len(results) == 3 and slow[0] is net
