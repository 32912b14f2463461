"""The list of the chapter's sections. All other lists come from this one.

The Makefile finds the slugs by how the lines begin. So number and slug stand
on the first line of a section.
"""
from pathlib import Path
from typing import NamedTuple


class Section(NamedTuple):
    """A section of the book."""
    number: str  # such as '4.3'
    slug: str  # 'mlp_concise', the name of its module, script and test
    title: str
    title_zh: str
    published: int  # how many numbers of the book `compare` knows


SECTIONS = (
    Section('4.1', 'mlp', 'Multilayer perceptrons', '多层感知机', 229),
    Section('4.2', 'mlp_scratch', 'Implementation of multilayer perceptrons '
            'from scratch', '多层感知机的从零开始实现', 29),
    Section('4.3', 'mlp_concise', 'Concise implementation of multilayer '
            'perceptrons', '多层感知机的简洁实现', 29),
    Section('4.4', 'underfit_overfit', 'Model selection, underfitting, and '
            'overfitting', '模型选择、欠拟合和过拟合', 306),
    Section('4.5', 'weight_decay', 'Weight decay', '权重衰减', 164),
    Section('4.6', 'dropout', 'Dropout', '暂退法（Dropout）', 106),
    Section('4.7', 'backprop', 'Forward propagation, backward propagation, '
            'and computational graphs', '前向传播、反向传播和计算图', 0),
    Section('4.8', 'numerical_stability_and_init', 'Numerical stability and '
            'initialization', '数值稳定性和模型初始化', 125),
    Section('4.9', 'environment', 'Environment and distribution shift',
            '环境和分布偏移', 0),
    Section('4.10', 'kaggle_house_price', 'Predicting house prices on Kaggle',
            '实战Kaggle比赛：预测房价', 319),
)


def find(name):
    """The `Section` with this number or slug.

    Raises `ValueError` where there is none.
    """
    for section in SECTIONS:
        if name in (section.number, section.slug):
            return section
    raise ValueError(f'there is no section {name!r}: they are numbered '
                     f'{SECTIONS[0].number} to {SECTIONS[-1].number} and '
                     'named ' + ', '.join(s.slug for s in SECTIONS))


def script(section):
    """The path of its script: in a checkout, or where pip has installed it.
    """
    package = Path(__file__).resolve().parent
    installed = package / 'chapters'
    folder = installed if installed.is_dir() else package.parent / 'chapters'
    return folder / f'{section.slug}.py'
