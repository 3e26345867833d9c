"""x"""
from playwright.async_api import Browser
from support.web import Web

async def test_it(browser: Browser, web: Web):
    page = await browser.new_page()
    await page.goto(f"http://127.0.0.1:{web.port}/")
    assert await page.title() == "Dovetail"
