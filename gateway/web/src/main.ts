//! Starts the page.

import { mount } from 'svelte'
import App from './App.svelte'
import { session } from './session.svelte.ts'
import './tokens.css'
import './page.css'

session.begin()
const target = document.getElementById('page')
if (target) mount(App, { target })
