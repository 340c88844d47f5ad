//! Tabs that need no script.

use leptos::prelude::*;

/// A group of radio buttons that look like tabs. The style sheet shows the panel of the chosen one.
#[component]
pub fn Tabs(
    /// The name of the group, for the form controls. It is unique on its page.
    name: &'static str,
    /// What the tabs are about, for assistive technology.
    legend: &'static str,
    /// The label and the panel of each tab.
    tabs: Vec<(&'static str, AnyView)>,
) -> impl IntoView {
    let tabs = tabs.into_iter().enumerate().map(|(index, (label, panel))| {
        view! {
            <label>
                <input type="radio" class="visually-hidden" name=name value=label checked=index == 0 />
                {label}
            </label>
            <div>{panel}</div>
        }
    });
    view! {
        <fieldset class="tabs">
            <legend class="visually-hidden">{legend}</legend>
            {tabs.collect_view()}
        </fieldset>
    }
}
