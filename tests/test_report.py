"""The report shows what was compared, in a real browser too."""
import json
import re
from dataclasses import replace
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from gluon_mlp.compare import (
    command,
    document,
    figures,
    page,
    printings,
    quantities,
    recorded,
)
from gluon_mlp.compare.quantities import Quantity
from gluon_mlp.compare.rows import Comparison, Control, Row, SourceText
from gluon_mlp.d2l import fashion_mnist
from gluon_mlp.errors import DataError

NOT_COMPARED = ('kaggle_house_price',)  # as where its data cannot be had
DIFFERS = ('mlp_scratch', 'test_acc')
LABEL = 'script <script>alert("&")</script>'
BOOKS = [printings.load(name) for name in printings.NAMES]


def made_up_run(section, rng, i):
    """A run of ours that is like a printing; one curve is not."""
    run = {}
    for q in BOOKS[0].quantities(section):
        noise = rng.normal(0, 0.003 * (q.kind != 'exact'), q.values.shape)
        run[q.what] = (recorded.curves(section, q.what)[i]
                       if q.kind == 'statistical'
                       else q.values * np.exp(noise))
        run[q.what] = run[q.what] + 0.1 * ((section, q.what) == DIFFERS)
    return run


def made_up_rows(section, rng):
    if section in NOT_COMPARED:
        runs = iter_and_raise()
    else:
        runs = [made_up_run(section, rng, i) for i in range(3)]
    return command.compare_section(section, runs, BOOKS)


def iter_and_raise():
    raise DataError('no files')
    yield


@pytest.fixture(scope='module')
def comparison():
    """All published numbers: most agree, some differ or are not compared."""
    rng, patch = np.random.default_rng(0), pytest.MonkeyPatch()
    patch.setattr(fashion_mnist, 'load', lambda: SimpleNamespace(
        edition='2017-08-31'))
    rows = [row for section in quantities.sections()
            for row in made_up_rows(section, rng)]
    patch.undo()
    return Comparison(
        rows,
        [Control('mlp_scratch', 'scratch', 2, 2e-7, 3e-6, 1e-5),
         Control('dropout', 'concise', 2, 2e-3, 3e-6, 1e-5),
         Control('mlp_concise', '', None, np.nan, np.nan, 1e-5, LABEL)],
        [SourceText('norm of w, wd=0', 14.670721054077148,
                    rng.normal(14.1, 0.7, 20)),
         SourceText('norm of w, wd=3', 0.3454631567001343,
                    rng.normal(0.7, 0.03, 20))],
        {'machine': 'made up, 2 cores', 'label': LABEL},
        {book.name: book.about for book in BOOKS})


@pytest.fixture(scope='module')
def path(comparison, tmp_path_factory):
    return page.write(comparison, tmp_path_factory.mktemp('report'))


@pytest.fixture(scope='module')
def html(path):
    return path.read_text('utf-8')


@pytest.fixture(scope='module')
def parsed(comparison, tmp_path_factory):
    folder = tmp_path_factory.mktemp('json')
    return json.loads(document.write(
        comparison, folder / 'new').read_text('utf-8'))


def verdicts(html, slug):
    """Of the rows of a section's table, by what they are of."""
    section = html.split(f'<h2 id="{slug}">')[1].split('<h2')[0]
    table = section.split('</table>')[0]
    return {re.search('<tr><th scope="row">([^<]+)', row)[1]:
            re.search('class="verdict [a-z]+">([^<]+)<', row)[1]
            for row in table.split('</tr>') if '<tr><th scope="row">' in row}


def test_the_verdict_and_the_counts_are_at_the_top(html, comparison):
    text = re.sub(r'\s+', ' ', html.split('class="total">')[1])
    assert text.startswith('<strong>differs</strong>')
    for counts in comparison.counts().values():
        assert f'{counts.within:,} of 1,307' in text


def test_each_row_has_its_verdict(html):
    """The made-up differences come out as the verdict that they are."""
    assert verdicts(html, 'mlp_scratch')['test acc'] == 'differs'
    assert verdicts(html, 'mlp_scratch')['train acc'] == 'agrees'
    for slug in NOT_COMPARED:
        assert set(verdicts(html, slug).values()) == {'not compared'}
    for slug in quantities.sections():
        assert set(verdicts(html, slug)) == {
            figures.title_of(q.what) for q in BOOKS[0].quantities(slug)}


def test_what_differs_comes_first_and_what_is_exact_last(html):
    """So do the sections, and the rows within a section."""
    slugs = re.findall('<h2 id="([a-z_]+)"', html)
    assert slugs[0] == 'mlp_scratch'
    assert slugs[-3:] == ['mlp', 'control', 'about']
    assert next(iter(verdicts(html, 'mlp_scratch'))) == 'test acc'
    assert list(verdicts(html, 'dropout'))[-1] == 'dropout layer: 1'


@pytest.mark.parametrize('what, title', [
    ('train_loss', 'train loss'), ('l2_norm_of_w', 'l2 norm of w'),
    ('scratch_lambd_3/test_loss', 'scratch lambd = 3: test loss'),
    ('fold_1_curve/train', 'fold 1 curve: train')])
def test_a_quantity_has_a_title(what, title):
    assert figures.title_of(what) == title


def test_a_row_shows_book_and_ours(comparison, html):
    """A printed value's row has the book's digits and our spread."""
    row = next(r for r in comparison.rows
               if r.quantity.what == 'scratch_lambd_3/l2_norm_of_w')
    cells = page._cells(row)
    assert cells['book'] == '0.38248694'
    mean, std = cells['ours'].split(' ± ')
    assert np.float32(mean) == np.float32(row.ours)
    assert float(std) == pytest.approx(row.std, rel=0.05)
    assert f'<td>{cells["book"]}</td>' in html


def test_a_diverged_curve_is_shown_as_such():
    """Ours is no number: nothing is hidden, and the figure is drawn."""
    q = Quantity('mlp', 'c', 'converged', 'curve', np.array([1.0, 2.0]),
                 [1, 2], 'log')
    row = Row({'book': q}, np.array([[1.0, np.nan]]),
              reason='ours is not a number')
    cells = page._cells(row)
    assert cells['verdict'] == 'differs'
    assert cells['reason'] == 'ours is not a number'
    assert figures.of_section([row])[0]['caption'] == 'c: differs'


def test_every_published_curve_is_in_one_figure(comparison, html):
    """17 figures of 4.1 to 4.6 hold each curve once; 2 histograms."""
    names = {s: figures.by_figure(comparison.rows_of(s))
             for s in quantities.sections()}
    assert [len(names[s]) for s in quantities.sections()] == [
        6, 1, 1, 3, 4, 2, 1, 2]
    drawn = [r for figures in names.values() for group in figures.values()
             for r in group]
    assert len(drawn) == sum(q.x is not None for q in BOOKS[0].quantities())
    assert [r.quantity.what for r in names['underfit_overfit']['normal']] == [
        'normal/train_loss', 'normal/test_loss']
    # But for 4.10's, and with the source text's.
    assert html.count('<figure>') == 18 + 2


def test_a_figure_has_the_axis_of_the_book_and_both_curves(comparison):
    """Above ours and the book's numbers; below, the difference."""
    rows = [replace(r, runs=r.runs * 0 + 0.8 * r.quantity.values)
            for r in comparison.rows
            if r.quantity.what.startswith('normal/')
            and r.quantity.x is not None]
    above, *below = figures.draw_curves(rows).axes
    assert above.get_yscale() == 'log' and len(below) == 2
    ours, *books = above.lines[:4]
    np.testing.assert_array_equal(ours.get_ydata(), rows[0].ours)
    for line, q in zip(books, rows[0].printings.values()):
        np.testing.assert_array_equal(line.get_ydata(), q.values)
    np.testing.assert_allclose(below[1].lines[-3].get_ydata(), 0.25)
    assert [t.get_text() for t in above.figure.legends[0].get_texts()] == [
        'train loss, ours', 'train loss, book', 'test loss, ours',
        'test loss, book']


def svgs(html):
    return [ElementTree.fromstring(text)
            for text in re.findall('<svg.*?</svg>', html, re.S)]


def test_figures_are_svg_in_the_page(html, path):
    """Each is well-formed, named, in the page's colours, and whole."""
    assert len(svgs(html)) == 20 and '<img' not in html
    for root in svgs(html):
        assert root.get('role') == 'img' and root.get('aria-label')
        assert 'var(--text)' in ElementTree.tostring(root, 'unicode')
    assert set(re.findall(r'var\(--([a-z0-9]+)\)', html)) <= set(
        re.findall(r'--([a-z0-9-]+):', html))
    assert set(re.findall(r'href="([^"]{,9})', html.split('<svg')[0])) >= {
        '#' + slug[:8] for slug in quantities.sections()}
    assert set(re.findall('href="(.)', html)) == {'#'}
    assert path.stat().st_size < 2e6


def test_a_mark_tells_its_numbers(html, comparison):
    """The book's number, of which printing, ours and its range."""
    row = next(r for r in comparison.rows
               if r.quantity.what == 'train_acc')  # of 4.2
    name, book = next(iter(row.printings.items()))
    text = (f'epoch 1: book {book.values[0]:.5g} ({name}), ours '
            f'{row.ours[0]:.5g}, from {row.low[0]:.5g} to {row.high[0]:.5g}')
    assert f'<title>{text}</title></use>' in html.replace('\n', '')
    figure = next(root for root in svgs(html)
                  if root.get('aria-label').startswith('Implementation'))
    assert len(list(figure.iter(f'{figures.SVG}title'))) == sum(
        np.isfinite(q.values).sum() for r in comparison.rows_of('mlp_scratch')
        for q in r.printings.values())


def test_every_number_is_in_the_page(comparison, html):
    """A section's unfolded tables have a line for each of its numbers."""
    for slug in quantities.sections():
        section = html.split(f'<h2 id="{slug}">')[1].split('<h2')[0]
        lines = section.partition('<details><summary>Every')[2].count(
            '<tr><td class="number">')
        assert lines == (0 if slug in NOT_COMPARED else sum(
            q.values.size for q in BOOKS[0].quantities(slug)
            if q.values.size > 1))


def test_texts_are_escaped(html):
    """A text with markup in it is shown, not obeyed."""
    assert '<script' not in html
    assert 'script &lt;script&gt;alert(&#34;&amp;&#34;)' in html


def test_listings_are_the_files(html):
    """The listing's text, without its colours, is the chapter's script."""
    listing = html.split('Listing: chapters/mlp_concise.py</summary>')[1]
    listing = listing.split('</pre>')[0].partition('tabindex="0">')[2]
    text = ElementTree.fromstring(f'<pre>{listing}</pre>')
    script = (page.ROOT / 'chapters' / 'mlp_concise.py').read_text('utf-8')
    assert ''.join(text.itertext()).strip() == script.strip()


def test_controls_and_source_text_have_verdicts(html):
    """One control agrees, one differs; one number within, one outside."""
    control = html.split('<h2 id="control">')[1].split('<h2')[0]
    assert re.findall('verdict [a-z]+">([^<]+)<', control) == [
        'agrees', 'differs', 'differs']
    assert 'script &lt;script&gt;' in control  # why it cannot be compared
    text = html.split('<h2 id="source-text">')[1].split('<h2')[0]
    assert re.findall('verdict [a-z]+">([^<]+)<', text) == [
        'within', 'outside']
    assert 'above 0 of our 20' in text and '0.3454631567001343' in text


def test_json_has_the_documented_keys(parsed):
    """The schema of the docstring, key by key."""
    assert parsed['schema'] == 3
    assert list(parsed) == [
        'schema', 'about', 'printings', 'words', 'verdict', 'exit_code',
        'sections', 'rows', 'offsets', 'controls', 'source_text', 'known']
    for name, keys in (
            ('sections', 'section verdict counts'),
            ('rows', 'section what kind digits axis verdict reason x number '
                     'ours std low high offset book within tests'),
            ('controls', 'section what num_epochs history weights allowed '
                         'reason agrees'),
            ('source_text', 'what text draws agrees'),
            ('known', 'printing section what x value reason')):
        assert parsed[name]
        for entry in parsed[name]:
            assert list(entry) == keys.split()
            assert f'`{list(entry)[-1]}`' in document.__doc__
    assert parsed['about']['label'] == LABEL
    assert list(parsed['offsets']) == ['train_loss', 'train_acc', 'test_acc']


def test_json_holds_all_the_numbers(parsed, comparison):
    """Arrays come back as they were, NaN as null, and the counts add up."""
    assert (parsed['verdict'], parsed['exit_code']) == ('differs', 1)
    for name in printings.NAMES:
        counts = [s['counts'][name] for s in parsed['sections']]
        assert sum(c['numbers'] for c in counts) == 1307
        assert sum(c['within'] for c in counts) == sum(
            np.sum(row['within'][name]) for row in parsed['rows'])
    for row, r in zip(parsed['rows'], comparison.rows):
        for key in ('ours', 'std', 'low', 'high'):
            np.testing.assert_array_equal(np.array(row[key], float),
                                          getattr(r, key))
        for name, q in r.printings.items():
            np.testing.assert_array_equal(np.array(row['book'][name], float),
                                          q.values)
            assert row['within'][name] == r.within(name).tolist()
        assert (row['x'] is None) == (r.quantity.x is None)
        assert (row['verdict'], row['reason']) == (r.verdict, r.reason)
        assert [t['verdict'] for t in row['tests']] == [
            t.verdict for t in r.tests]
    curve = next(r for r in parsed['rows'] if r['what'] == 'train_loss')
    assert curve['book']['en-2021-03-19'][0] is None


def test_only_our_page_is_replaced(comparison, tmp_path):
    """An earlier page goes, what lies beside it stays, nothing is left."""
    small = Comparison([], [], [], {'run': 'no. 1'})
    (tmp_path / 'mine.txt').write_text('keep')
    page.write(small, tmp_path)
    small.about['run'] = 'no. 2'
    path = page.write(small, tmp_path)
    assert 'no. 2' in path.read_text() and 'no. 1' not in path.read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ['index.html',
                                                          'mine.txt']


def test_a_failed_write_leaves_the_old_page(tmp_path, monkeypatch):
    """The disk is full halfway: the old page is whole, nothing is left."""
    small = Comparison([], [], [], {'run': 'no. 1'})
    path = page.write(small, tmp_path)
    old = path.read_text()

    def half(self, text, encoding):
        with open(self, 'w') as file:
            file.write(text[:100])
        raise OSError('disk full')
    monkeypatch.setattr(page.Path, 'write_text', half)
    with pytest.raises(OSError, match='disk full'):
        page.write(small, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ['index.html']
    assert path.read_text() == old


OVERFLOW = '''
document.querySelectorAll('details').forEach(d => d.open = true);
return [window.innerWidth, document.documentElement.clientWidth,
        document.documentElement.scrollWidth]'''
DRAWN = '''
return [...document.querySelectorAll('figure use')].filter(
  u => u.getBBox().width + u.getBBox().height > 0).length'''


@pytest.mark.slow
@pytest.mark.parametrize('width', [1280, 375])
def test_page_in_a_browser(browser, path, width):
    """At both widths: all marks, no error, no sideways scroll, no network.

    With everything unfolded that can be.
    """
    browser.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', {
        'width': width, 'height': 800, 'deviceScaleFactor': 1,
        'mobile': width < 500})
    browser.get(path.as_uri())
    assert browser.execute_script(DRAWN) == path.read_text().count('<use ')
    assert browser.execute_script(OVERFLOW) in (
        [width] * 3, [width] + [width - 15] * 2)  # with a vertical bar
    assert browser.get_log('browser') == []
    events = [json.loads(entry['message'])['message']
              for entry in browser.get_log('performance')]
    urls = [e['params']['request']['url'] for e in events
            if e['method'] == 'Network.requestWillBeSent'
            and e['params']['documentURL'] == path.as_uri()]
    assert path.as_uri() in urls
    assert {url.split(':')[0] for url in urls} <= {'file', 'data'}
